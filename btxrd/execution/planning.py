"""What a command line asks for: planned the way Hydra will, and checked, before anything runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from btxrd.config.compose import compose, hydra_over_conf, parse, register_schema
from btxrd.config.jobspec import BASIC, JOBLIB, SLURM
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.concurrency import choose_at_once
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.placement import runs_at_once
from btxrd.execution.preflight import Findings
from btxrd.execution.search import Search, resume
from btxrd.execution.slurm import has_gpus

LONGEST_NAME = 240  # bytes; file systems allow 255


@dataclass(frozen=True)
class Plan:
    """What a command line asks for, composed and checked, before anything runs.

    Attributes:
        folder: of the run, or of the sweep.
        pin: the override that makes Hydra use this folder, whatever the clock says by then.
        runs: the config of each run by its folder, in order; of a search, one that stands for all.
        is_sweep: or one run.
        is_search: whether a sweeper makes up the runs as it goes.
        search: Optuna's study, where that is the sweeper.
        launcher: the name of its class.
        n_jobs: of the joblib launcher; None for another.
        is_free: whether it is left open how many runs are done side by side.
        gpus: of a node, that a Slurm launcher asks for; None where that is left open.
    """

    folder: Path
    pin: str
    runs: dict[Path, Config]
    is_sweep: bool
    is_search: bool = False
    search: Search | None = None
    launcher: str = BASIC
    n_jobs: int | None = None
    is_free: bool = False
    gpus: int | None = None

    @property
    def fail_fast(self) -> bool:
        """Whether the first failure ends it all."""
        return any(config.fail_fast for config in self.runs.values())

    @property
    def images(self) -> bool:
        """Whether the page of a sweep shows films."""
        return all(config.report.images for config in self.runs.values())

    @property
    def use_gpus(self) -> bool:
        """Whether the runs may use GPUs."""
        return any(config.device in ("auto", "cuda") for config in self.runs.values())

    def at_once(self, found: Findings) -> int:
        """How many runs this machine does side by side; says why where that was left open.

        Runs that are complete count: a sweep that goes on gives each run as many threads as before,
        and so the same numbers.
        """
        if self.is_free:
            count, reason = choose_at_once(
                self.folder, [(self.runs[at], n) for at, n in found.cases.items()], self.use_gpus
            )
            if found.cases:
                print(f"{'One run' if count == 1 else f'{count} runs'} at a time: {reason}")
            return count
        if self.n_jobs is None:
            return 1
        config = next(iter(self.runs.values()))
        runs = None if self.is_search else len(self.runs)
        return runs_at_once(self.n_jobs, runs, config.runs_per_gpu, use_gpus=self.use_gpus)

    def pinned(self, arguments: list[str], at_once: int) -> list[str]:
        """Put the pins behind the overrides of a command line; argparse wants them together.

        A search is set up to go on.
        """
        typed = get_args_parser().parse_args(arguments).overrides
        place = arguments.index(typed[0]) + len(typed) if typed else len(arguments)
        pins = [self.pin]
        if self.is_free and at_once > 1:
            pins += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={at_once}"]
        elif self.n_jobs is not None:
            pins.append(f"hydra.launcher.n_jobs={at_once}")
        if self.launcher == SLURM and self.gpus is None and self.use_gpus and has_gpus():
            pins.append("hydra.launcher.gpus_per_node=1")
        if self.search is not None:
            pins += resume(self.search, self.folder)
            if self.launcher in (BASIC, JOBLIB):
                pins.append(f"hydra.sweeper.n_jobs={at_once}")
        return [*arguments[:place], *pins, *arguments[place:]]


def plan_command_line() -> Plan | None:
    """Plan what `sys.argv` asks for; None where it asks Hydra to show something instead.

    Raises:
        InputError, HydraException: for a config that does not compose, also one that is only shown.
    """
    args = get_args_parser().parse_args()
    if args.cfg and args.multirun:
        raise InputError("--cfg shows the config of one run: leave out -m")
    typed = (args.overrides, args.config_name or "config", args.config_dir)
    if args.cfg or args.info or args.hydra_help or args.shell_completion:
        if args.cfg:
            with hydra_over_conf(args.config_dir) as hydra:
                compose(hydra, typed[1], args.overrides, RunMode.RUN)
        return None
    is_sweep = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    return plan_sweep(*typed) if is_sweep else plan_run(*typed)


def compose_one(arguments: list[str]) -> Plan:
    """Compose one run from a command line that has no options.

    Raises:
        InputError: for an option, and see `plan_run`.
    """
    for argument in arguments:
        if argument.startswith("-"):
            raise InputError(f"{argument}: no such option; must be KEY=VALUE, or --help")
    register_schema()
    return plan_run(arguments, "config", None)


def plan_run(overrides: list[str], config_name: str, config_dir: str | None) -> Plan:
    """Compose and check one run; see `plan_sweep`."""
    with hydra_over_conf(config_dir) as hydra:
        composed = compose(hydra, config_name, overrides, RunMode.RUN)
        search = composed.hydra.runtime.choices.get("search")
        if search is not None:
            raise InputError(f"search={search}: takes many runs; add -m")
        run_dir = Path(str(composed.hydra.run.dir))
        pin = _pin("hydra.run.dir", run_dir)
        return Plan(run_dir, pin, {run_dir: _settings(composed)}, is_sweep=False)


def plan_sweep(overrides: list[str], config_name: str, config_dir: str | None) -> Plan:
    """Compose and check every point of a sweep, the way Hydra's basic sweeper will.

    Of a search, whose points are not known yet, the config is checked that stands for all.

    Args:
        overrides: as typed, sweeps such as `split=stratified,center` and `glob(*)` included.
        config_name: the primary config.
        config_dir: a further folder of configs, as in `--config-dir`.

    Raises:
        InputError: for the first point with a wrong value, and for two points with one folder.
        HydraException: for what does not compose; `explain` words it.
    """
    with hydra_over_conf(config_dir) as hydra:
        base = compose(hydra, config_name, overrides, RunMode.MULTIRUN)
        sweep_dir = Path(str(base.hydra.sweep.dir))
        is_search = not str(base.hydra.sweeper._target_).endswith(".BasicSweeper")
        overridden = _parsed(hydra, base)
        fixed = [item for item in overridden if not item.is_sweep_override()]
        if is_search:
            points = [[str(item.input_line) for item in fixed]]
        else:
            batches = BasicSweeper.split_arguments(overridden, max_batch_size=None)
            points = [list(point) for point in batches[0]]
        launcher = str(base.hydra.launcher._target_).rpartition(".")[2]
        n_jobs = base.hydra.launcher.get("n_jobs")
        if n_jobs == 0:
            raise InputError("hydra.launcher.n_jobs=0: must be a number of runs, or -1 for all")
        runs: dict[Path, Config] = {}
        for point in points:
            composed = hydra.config_loader.load_sweep_config(base, point)
            name = "search" if is_search else str(composed.hydra.sweep.subdir)
            _check_name(name, " ".join(point))
            run_dir = sweep_dir / name
            if run_dir in runs:
                raise InputError(
                    f"{' '.join(point)}: two runs of this sweep would share the folder {name}; "
                    "sweep only over keys that name a folder, or set hydra.sweep.subdir"
                )
            runs[run_dir] = _settings(composed)
        if not runs:
            raise InputError(f"{' '.join(overrides)}: gives no run at all")
        return Plan(
            sweep_dir,
            _pin("hydra.sweep.dir", sweep_dir),
            runs,
            is_sweep=True,
            is_search=is_search,
            search=_search(base, runs[run_dir], overridden == fixed) if is_search else None,
            launcher=launcher,
            n_jobs=n_jobs,
            is_free=launcher == BASIC and not is_search and not _is_launcher_typed(base),
            gpus=base.hydra.launcher.get("gpus_per_node"),
        )


def _is_launcher_typed(base: DictConfig) -> bool:
    return any(str(typed).startswith("hydra/launcher=") for typed in base.hydra.overrides.hydra)


def _search(base: DictConfig, stands_for_all: Config, is_empty: bool) -> Search | None:
    sweeper = base.hydra.sweeper
    if not str(sweeper._target_).endswith(".OptunaSweeper"):
        return None
    if sweeper.n_trials < 1:
        raise InputError(f"hydra.sweeper.n_trials={sweeper.n_trials}: must be at least 1")
    if is_empty:
        raise InputError(
            "hydra/sweeper=optuna: has nothing to search; take search=recipe, or give a space, "
            "such as 'training.lr=tag(log,interval(1e-5,1e-2))'"
        )
    return Search(
        storage=sweeper.storage,
        name=sweeper.study_name,
        trials=sweeper.n_trials,
        seed=sweeper.sampler.get("seed"),
        config=fingerprint(stands_for_all),
    )


def _parsed(hydra: Hydra, base: DictConfig) -> list[Override]:
    def unresolved(node: Any) -> Any:  # an interpolation is resolved for each point by itself
        return OmegaConf.to_container(node, resolve=False)

    params = unresolved(base.hydra.sweeper).get("params") or {}
    swept = [f"{key}={value}" for key, value in params.items()]
    parser = OverridesParser.create(hydra.config_loader)
    return parser.parse_overrides(swept + unresolved(base.hydra.overrides.task))


def _check_name(name: str, point: str) -> None:
    if not name:
        raise InputError("nothing to sweep over: leave out -m, or give a key several values")
    if name.startswith("/") or ".." in name.split("/"):
        raise InputError(
            f"{point}: a path would become part of a folder's name; name the folder "
            "by hydra.sweep.subdir, or put the path into an experiment file"
        )
    if max(len(part.encode()) for part in name.split("/")) > LONGEST_NAME:
        raise InputError(f"{point}: too long for a folder's name; put it into an experiment file")


def _settings(composed: DictConfig) -> Config:
    with open_dict(composed):
        del composed["hydra"]
    return parse(composed)


def _pin(key: str, folder: Path) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{quoted}'"
