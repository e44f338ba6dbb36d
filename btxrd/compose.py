"""Hydra's side of the house: composing configs onto the schema, planning a sweep, wording errors.

Only this room and `run.py` know OmegaConf. It loads no torch.
"""

import difflib
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from btxrd import schema
from btxrd.configs import conf_dir
from btxrd.errors import InputError
from btxrd.files import write_text
from btxrd.schema import Config, check

LONGEST_NAME = 240  # bytes; file systems allow 255


def register_schema() -> None:
    """Let `schema` in a defaults list stand for the typed config."""
    ConfigStore.instance().store(name="schema", node=Config)


def parse(config: DictConfig) -> Config:
    """Turn a composed config into the checked, plain dataclass.

    Raises:
        InputError: where a value is missing, out of range or no choice.
    """
    for key in sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"{key}: has no value; give it as {key}=VALUE")
    _refuse_unknown(config, Config)
    settings = cast(Config, OmegaConf.to_object(config))
    check(settings)
    return settings


def _refuse_unknown(node: DictConfig, owner: type, prefix: str = "") -> None:
    """Refuse keys that `+key=value` added: a typed node takes them without a word."""
    for key in map(str, node):
        if key not in {item.name for item in fields(owner)}:
            raise InputError(f"{prefix}{key}: no such key{_nearest(key, owner)}")
        child = node._get_node(key)
        inner = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if isinstance(child, DictConfig) and inner is not None:
            _refuse_unknown(child, inner, f"{prefix}{key}.")


@dataclass(frozen=True)
class Plan:
    """What a command line asks for, composed and checked, before anything runs.

    Attributes:
        folder: of the run, or of the sweep.
        pin: the override that makes Hydra use this folder, whatever the clock says by then.
        runs: the config of each run by its folder, in order.
        is_sweep: or one run.
    """

    folder: Path
    pin: str
    runs: dict[Path, Config]
    is_sweep: bool

    def pinned(self, arguments: list[str]) -> list[str]:
        """Put the pin beside the overrides of a command line; argparse wants them together."""
        typed = get_args_parser().parse_args(arguments).overrides
        place = arguments.index(typed[0]) if typed else len(arguments)
        return [*arguments[:place], self.pin, *arguments[place:]]

    @property
    def names(self) -> list[str]:
        """Of the runs: their folders as seen from the sweep's."""
        return [run_dir.relative_to(self.folder).as_posix() for run_dir in self.runs]


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
            with _hydra(args.config_dir) as hydra:
                _compose(hydra, typed[1], args.overrides, RunMode.RUN)
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
    with _hydra(config_dir) as hydra:
        composed = _compose(hydra, config_name, overrides, RunMode.RUN)
        run_dir = Path(str(composed.hydra.run.dir))
        pin = _pin("hydra.run.dir", run_dir)
        return Plan(run_dir, pin, {run_dir: _settings(composed)}, is_sweep=False)


def plan_sweep(overrides: list[str], config_name: str, config_dir: str | None) -> Plan:
    """Compose and check every point of a sweep, the way Hydra's basic sweeper will.

    Args:
        overrides: as typed, sweeps such as `split=stratified,center` and `glob(*)` included.
        config_name: the primary config.
        config_dir: a further folder of configs, as in `--config-dir`.

    Raises:
        InputError: for the first point with a wrong value, and for two points with one folder.
        HydraException: for what does not compose; `explain` words it.
    """
    with _hydra(config_dir) as hydra:
        loader = hydra.config_loader
        base = _compose(hydra, config_name, overrides, RunMode.MULTIRUN)
        swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.params or {}).items()]
        parsed = OverridesParser.create(loader).parse_overrides(
            swept + list(base.hydra.overrides.task)
        )
        sweep_dir = Path(str(base.hydra.sweep.dir))
        runs: dict[Path, Config] = {}
        for point in BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]:
            composed = loader.load_sweep_config(base, list(point))
            name = str(composed.hydra.sweep.subdir)
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
        return Plan(sweep_dir, _pin("hydra.sweep.dir", sweep_dir), runs, is_sweep=True)


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


@contextmanager
def _hydra(config_dir: str | None) -> Iterator[Hydra]:
    """Hydra as `run.py` will start it, over conf/ and a further folder."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        if config_dir is not None:
            folder = Path(config_dir).resolve()
            if not folder.is_dir():
                raise InputError(f"--config-dir {config_dir}: no such folder")
            search_path = hydra.config_loader.get_search_path()
            search_path.prepend("command-line", f"file://{folder}")
        yield hydra


def _compose(hydra: Hydra, config_name: str, overrides: list[str], mode: RunMode) -> DictConfig:
    try:
        return hydra.compose_config(
            config_name, overrides, mode, from_shell=False, with_log_configuration=False
        )
    except ValueError as error:  # Hydra's own for an override such as model=null
        raise InputError(str(error)) from error
    except AssertionError as error:  # OmegaConf's for a key in a node that is null
        raise InputError(f"{' '.join(overrides)}: sets a key of what is null ({error})") from error


def save_hydra(folder: Path, config: DictConfig, hydra_config: HydraConf) -> None:
    """Write the three files of `.hydra/` as Hydra would; `hydra.output_subdir` keeps it from it."""
    contents = {"config": config, "hydra": hydra_config, "overrides": hydra_config.overrides.task}
    for name, content in contents.items():
        text = OmegaConf.to_yaml({"hydra": content} if name == "hydra" else content)
        write_text(folder / f"{name}.yaml", text)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line for wrong input; with a traceback if HYDRA_FULL_ERROR=1."""
    try:
        yield
    except (InputError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(explain(error), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def explain(error: Exception) -> str:
    """Say in one line what Hydra or OmegaConf found wrong, and what would be right."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = ", ".join(sorted(error.options))
        return f"{group}={name}: no such choice; must be one of {choices}"
    text = str(error)
    if error.__cause__ is not None:
        text += "\n" + str(error.__cause__)
    unknown = re.search(r"Key '(\w+)' (?:is )?not in '(\w+)'\s+full_key: (\S+)", text)
    if unknown:
        key, owner, full_key = unknown.groups()
        ours = getattr(schema, owner, None)  # None: a node of Hydra's
        return f"{full_key}: no such key" + ("" if ours is None else _nearest(key, ours))
    wrong = re.search(r"(Value .*|Cannot .*|Incompatible .*)\s+full_key: (\S+)", text)
    if wrong:
        return f"{wrong[2]}: {wrong[1]}"
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not re.match(r"\w+_type=", line))


def _nearest(key: str, owner: type) -> str:
    known = [item.name for item in fields(owner)]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
