"""The runs of a command line. Each is composed once, as Hydra does it."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from btxrd.config.commandline import CommandLine, override
from btxrd.config.compose import (
    OURS,
    be_resolver,
    compose,
    compose_point,
    hydra_over_conf,
    job_spec,
    makes_sweep,
    one_kind_of_error,
    parse,
)
from btxrd.config.folder import Folder, literal
from btxrd.config.grid import grid, has_space
from btxrd.config.jobspec import JobSpec
from btxrd.config.schema import Config
from btxrd.errors import InputError

Shown = Literal["all", "numbered", "warnings"]


@dataclass(frozen=True)
class Point:
    """One run of a command line.

    Attributes:
        overrides: Overrides from which the run was composed.
        subdir: Value of `hydra.sweep.subdir`.
        config: Checked config of the run.
        composed: The same config with Hydra's node. It is pickled to use a tenth of the memory.
    """

    overrides: tuple[str, ...]
    subdir: str
    config: Config
    composed: bytes

    @classmethod
    def of(cls, composed: DictConfig, overrides: tuple[str, ...], subdir: str) -> "Point":
        """Check a composed config.

        Raises:
            InputError: If a value is wrong.
        """
        whole = pickle.dumps(composed)
        with open_dict(composed):
            del composed["hydra"]
        return cls(overrides, subdir, parse(composed), whole)

    def spec(self, run_dir: Path, number: int = 0, *, shown: Shown = "all") -> JobSpec:
        """Describe the run for its process.

        Args:
            run_dir: Folder of the run.
            number: Position among the runs of a sweep, from 0.
            shown: Log lines that appear in the terminal: all; all, each with the number of the
                run, if several runs are done in parallel; or warnings only, beside a table.
        """
        composed: DictConfig = pickle.loads(self.composed)
        hydra = composed.hydra
        be_resolver(composed)
        with open_dict(hydra):
            hydra.runtime.output_dir = literal(run_dir.absolute())
            hydra.job.num = number
            hydra.job.id = str(number)
            if self.subdir:
                hydra.sweep.subdir = literal(run_dir.relative_to(hydra.sweep.dir))
        prefix = "" if shown == "all" else f"#{number} "
        task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        return job_spec(self.config, task, hydra, prefix=prefix, quiet=shown == "warnings")


@dataclass(frozen=True)
class Launcher:
    """The launcher that executes the runs of a sweep.

    Attributes:
        name: Option of hydra/launcher.
        is_local: Whether btxrd executes the runs on this machine, without a plugin of Hydra.
        is_of_slurm: Whether each run is a job of Slurm.
        n_jobs: Upper limit of parallel runs on this machine; -1 means no limit, and None means that
            the number is measured.
        gpus: Number of GPUs per node to request from Slurm; None leaves it to btxrd.
    """

    name: str
    is_local: bool
    is_of_slurm: bool = False
    n_jobs: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Sweeper:
    """The sweeper that proposes the runs of a search.

    Attributes:
        name: Option of hydra/sweeper.
        storage: URL of Optuna's study; None stores it in the folder of the sweep.
        study: Name of the study.
        trials: Number of complete trials after which the search ends; None for another sweeper than
            Optuna.
        seed: Seed of Optuna's sampler; None if it has no seed.
    """

    name: str
    storage: str | None = None
    study: str | None = None
    trials: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Request:
    """The runs of a command line and where to do them, composed and checked.

    Attributes:
        folder: Folder of the run or of the sweep.
        points: The runs in order. A search has one, which represents all.
        launcher: Launcher of the runs; None for a single run.
        sweeper: Sweeper that proposes the runs; None without a search.
        base: Config that the runs have in common, pickled, for plugins of Hydra.
        config_dir: Further folder of configs.
        multirun: Content of multirun.yaml, Hydra's record of a sweep.
    """

    folder: Folder
    points: tuple[Point, ...]
    launcher: Launcher | None = None
    sweeper: Sweeper | None = None
    base: bytes = b""
    config_dir: str | None = None
    multirun: str = ""


def request(typed: CommandLine) -> Request:
    """Compose and check one run, every run of a sweep, or the config that represents a search.

    Raises:
        InputError, HydraException: If a run cannot be composed or has a wrong value. The first
            error is reported.
    """
    with hydra_over_conf(typed.config_dir) as loader, one_kind_of_error(loader, typed.overrides):
        if typed.is_sweep:
            return _request_sweep(loader, typed)
        try:
            composed = compose(loader, typed)
        except HydraException:  # possibly because a key has several values
            if not makes_sweep(loader, typed):
                raise
        else:
            if composed.hydra.mode != RunMode.MULTIRUN:
                return _request_run(composed, typed)
        return _request_sweep(loader, replace(typed, is_sweep=True))


def _request_run(composed: DictConfig, typed: CommandLine) -> Request:
    search = composed.hydra.runtime.choices.get("search")
    if search is not None:
        raise InputError(f"search={search}: needs several runs; add -m")
    folder = Folder.of(composed.hydra.run, "hydra.run.dir")
    composed.hydra.run.dir = literal(folder.path)  # the name contains the time, so it is fixed now
    return Request(folder, (Point.of(composed, tuple(typed.overrides), ""),))


def _request_sweep(loader: ConfigLoader, typed: CommandLine) -> Request:
    base = compose(loader, typed)
    folder = Folder.of(base.hydra.sweep, "hydra.sweep.dir")
    with open_dict(base):
        base.hydra.sweep.dir = literal(folder.path)
        base.hydra.overrides.hydra += [
            override("hydra.sweep.dir", str(folder.path)),
            "hydra.mode=MULTIRUN",
        ]
    sweeper = _sweeper(base)
    launcher = _launcher(base)
    numbered = enumerate(grid(loader, base, fixed_only=sweeper is not None))
    points = tuple(
        compose_one_of(loader, base, overrides, number) for number, overrides in numbered
    )
    if sweeper is not None and sweeper.trials is not None and not has_space(loader, base):
        raise InputError(
            "hydra/sweeper=optuna: no search space; set search=recipe, or give a space, "
            "such as 'training.lr=tag(log,interval(1e-5,1e-2))'"
        )
    return Request(
        folder,
        points,
        launcher,
        sweeper,
        base=pickle.dumps(base),
        config_dir=typed.config_dir,
        multirun=OmegaConf.to_yaml(base),
    )


def compose_one_of(
    loader: ConfigLoader, base: DictConfig, overrides: tuple[str, ...], number: int = 0
) -> Point:
    """Compose and check the run of a sweep with this number.

    Raises:
        InputError, HydraException: If the run cannot be composed, or if a value is wrong.
    """
    composed = compose_point(loader, base, list(overrides), number)
    return Point.of(composed, overrides, str(composed.hydra.sweep.subdir))


def _launcher(base: DictConfig) -> Launcher:
    node = base.hydra.launcher
    name = str(base.hydra.runtime.choices["hydra/launcher"])
    n_jobs = node.get("n_jobs")
    if str(node._target_) != OURS:
        of_slurm = str(node._target_).endswith(".SlurmLauncher")
        return Launcher(name, is_local=False, is_of_slurm=of_slurm, gpus=node.get("gpus_per_node"))
    if n_jobs == 0:
        raise InputError("hydra.launcher.n_jobs=0: must be a number of runs, or -1 for all")
    return Launcher(name, is_local=True, n_jobs=n_jobs)


def _sweeper(base: DictConfig) -> Sweeper | None:
    node = base.hydra.sweeper
    name = str(base.hydra.runtime.choices["hydra/sweeper"])
    if name == "basic":
        return None
    if not str(node._target_).endswith(".OptunaSweeper"):
        return Sweeper(name)
    if node.n_trials < 1:
        raise InputError(f"hydra.sweeper.n_trials={node.n_trials}: must be at least 1")
    seed = node.sampler.get("seed")
    return Sweeper(name, node.storage, node.study_name, node.n_trials, seed)
