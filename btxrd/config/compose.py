"""Compose a config onto the schema with Hydra, and convert it to plain dataclasses.

This module loads no torch.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, cast

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from btxrd.config import messages
from btxrd.config.checks import check
from btxrd.config.choices import conf_dir
from btxrd.config.commandline import CommandLine
from btxrd.config.jobspec import LOG, JobSpec
from btxrd.config.schema import Config
from btxrd.errors import InputError

OURS = "hydra_plugins.btxrd_launcher.BatchLauncher"
LOCAL = {"default": None, "basic": 1, "joblib": -1}  # hydra/launcher -> n_jobs


@dataclass
class LocalLauncher:
    """Options of hydra/launcher for runs on this machine.

    Attributes:
        n_jobs: Upper limit of parallel runs; -1 means no limit, and None means that the number
            with the highest throughput is measured.
    """

    _target_: str = OURS
    n_jobs: int | None = None


def register_schema() -> None:
    """Register the typed config as `schema`, and the launchers of btxrd.

    The launchers replace Hydra's `basic`, and `joblib` of its plugin if that is installed.
    """
    Plugins.instance()  # plugins register their options when they are loaded; ours must come later
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, n_jobs in LOCAL.items():
        store.store(group="hydra/launcher", name=name, node=LocalLauncher(n_jobs=n_jobs))


def parse(config: DictConfig) -> Config:
    """Convert a composed config to the dataclass, and check it.

    Raises:
        InputError: If a value is missing, out of range or not a valid choice.
    """
    for key in sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"{key}: has no value; give it as {key}=VALUE")
    _refuse_unknown(config, Config)
    settings = cast(Config, OmegaConf.to_object(config))
    check(settings)
    return settings


def _refuse_unknown(node: DictConfig, owner: type, prefix: str = "") -> None:
    """Refuse keys that `+key=value` added: a typed node accepts them without an error."""
    for key in map(str, node):
        if key not in {item.name for item in fields(owner)}:
            raise InputError(f"{prefix}{key}: no such key{messages.nearest(key, owner)}")
        child = node._get_node(key)
        inner = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if isinstance(child, DictConfig) and inner is not None:
            _refuse_unknown(child, inner, f"{prefix}{key}.")


@contextmanager
def hydra_over_conf(config_dir: str | None) -> Iterator[ConfigLoader]:
    """Initialise Hydra with conf/ and a further folder of configs, unless it is initialised."""
    if GlobalHydra.instance().is_initialized():
        yield GlobalHydra.instance().config_loader()
        return
    if config_dir is not None and not Path(config_dir).is_dir():
        raise InputError(f"--config-dir {config_dir}: no such folder; give an existing one")
    with (
        _FurtherConfigs.at(config_dir),
        initialize_config_dir(str(conf_dir()), job_name="run", version_base="1.3"),
    ):
        yield GlobalHydra.instance().config_loader()


class _FurtherConfigs(SearchPathPlugin):
    """Add a folder to the search path during initialisation, as later changes have no effect."""

    folder: ClassVar[Path | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if self.folder is not None:
            search_path.append("command-line", f"file://{self.folder}")

    @classmethod
    @contextmanager
    def at(cls, config_dir: str | None) -> Iterator[None]:
        Plugins.instance().register(cls)
        cls.folder = None if config_dir is None else Path(config_dir).resolve()
        try:
            yield
        finally:
            cls.folder = None


def compose(loader: ConfigLoader, typed: CommandLine) -> DictConfig:
    """Compose the config of one run, or the common config of the runs of a sweep.

    Raises:
        InputError, HydraException: If the config cannot be composed.
    """
    mode = RunMode.MULTIRUN if typed.is_sweep else RunMode.RUN
    with one_kind_of_error(loader, typed.overrides):
        composed = loader.load_configuration(
            typed.config_name, typed.overrides, mode, from_shell=False
        )
    if composed.hydra.callbacks:
        raise InputError("hydra.callbacks: not supported; remove them")
    if composed.hydra.job.chdir:
        raise InputError("hydra.job.chdir=true: not supported; remove it")
    if typed.is_sweep or composed.hydra.mode is None:
        composed.hydra.mode = mode
    be_resolver(composed)
    return composed


def makes_sweep(loader: ConfigLoader, typed: CommandLine) -> bool:
    """Return whether a config sets `hydra.mode` to MULTIRUN. Several values of a key are allowed.

    Raises:
        InputError, HydraException: If the config cannot be composed.
    """
    with one_kind_of_error(loader, typed.overrides):
        composed = loader.load_configuration(
            typed.config_name,
            typed.overrides,
            RunMode.MULTIRUN,
            from_shell=False,
            validate_sweep_overrides=False,
        )
    return bool(composed.hydra.mode == RunMode.MULTIRUN)


def be_resolver(composed: DictConfig) -> None:
    """Resolve `${hydra:KEY}` with the values of this config."""
    HydraConfig.instance().set_config(composed)
    OmegaConf.set_readonly(composed.hydra, False)


def compose_point(
    loader: ConfigLoader, base: DictConfig, overrides: list[str], number: int
) -> DictConfig:
    """Compose the run of a sweep with this number.

    Raises:
        InputError, HydraException: If the config cannot be composed.
    """
    with one_kind_of_error(loader, overrides):
        composed = loader.load_sweep_config(base, overrides)
    with open_dict(composed.hydra):
        composed.hydra.job.num = number
        composed.hydra.job.id = str(number)
    be_resolver(composed)
    return composed


@contextmanager
def one_kind_of_error(loader: ConfigLoader, overrides: list[str]) -> Iterator[None]:
    """Convert the exceptions of Hydra, OmegaConf and YAML to errors of one line."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "provider=.* is not available")  # searchpath
            yield
    except (HydraException, OmegaConfBaseException) as error:
        folders = _folders(loader, overrides)
        if line := messages.no_choice(error, overrides) or messages.why_wrong_file(error, folders):
            raise InputError(line) from error
        raise
    except (InputError, MemoryError):
        raise
    except AssertionError as error:  # raised by OmegaConf if the parent of a key is null
        raise InputError(messages.sets_null(overrides)) from error
    except Exception as error:  # only the input can cause an exception here
        folders = _folders(loader, overrides)
        line = messages.no_choice(error, overrides) or messages.why_unreadable(error, folders)
        raise InputError(line) from error


def _folders(loader: ConfigLoader, overrides: list[str]) -> list[Path]:
    """Return the folders of configs. Folders of the user come first."""
    added = [word for word in overrides if word.startswith("hydra.searchpath=")]
    paths = [source.path for source in loader.get_sources() if source.scheme() == "file"]
    paths += re.findall(r"file://([^,\]'\"]+)", " ".join(added))
    return [Path(path) for path in reversed(paths)]


def job_spec(
    config: Config, task: DictConfig, hydra: Any, *, prefix: str = "", quiet: bool = False
) -> JobSpec:
    """Return the specification of a run for its process.

    Args:
        config: Checked config of the run.
        task: The same config as it was composed, without Hydra's node.
        hydra: Hydra's node of the composed config.
        prefix: Text before each line of the log, to distinguish parallel runs.
        quiet: Whether the terminal shows only warnings. The log file contains all lines.
    """
    logging = _logging(hydra, prefix, quiet)
    contents = {"config": task, "hydra": {"hydra": hydra}, "overrides": hydra.overrides.task}
    return JobSpec(
        config=config,
        choices=dict(hydra.runtime.choices),
        logging=logging,
        record={f"{name}.yaml": OmegaConf.to_yaml(content) for name, content in contents.items()},
        environment={key: str(value) for key, value in hydra.job.env_set.items()},
    )


def _logging(hydra: Any, prefix: str, quiet: bool) -> dict[str, Any]:
    """Return the dictionary for `logging.config` in the process of a run.

    Raises:
        InputError: If `hydra.job_logging` is not a mapping.
    """
    found: Any = OmegaConf.to_container(hydra.job_logging, resolve=True)
    if not isinstance(found, dict):
        raise InputError(f"hydra.job_logging={found}: must be a mapping, as in hydra/job_logging")
    for formatter in (found.get("formatters") or {}).values():
        formatter["format"] = prefix + formatter.get("format", "%(message)s")
    by_name = Path(hydra.runtime.output_dir) / f"{hydra.job.name}.log"
    for handler in (found.get("handlers") or {}).values():
        if "filename" in handler:
            handler.setdefault("delay", True)  # no log in a folder without a run
            handler.setdefault("encoding", "utf-8")
        if handler.get("filename") == str(by_name):
            handler["filename"] = str(by_name.with_name(LOG))
        if quiet and "filename" not in handler:
            handler["level"] = "WARNING"
    return found
