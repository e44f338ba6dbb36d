"""Compose a config onto the schema with Hydra, and convert it to plain dataclasses.

This module loads no torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from btxrd.config.choices import conf_dir
from btxrd.config.commandline import CommandLine
from btxrd.config.jobspec import JobSpec
from btxrd.config.messages import nearest
from btxrd.config.schema import Config, check
from btxrd.errors import InputError

OURS = "hydra_plugins.btxrd_launcher.BatchLauncher"
LOCAL = {"default": None, "basic": 1, "joblib": -1}  # hydra/launcher -> n_jobs


@dataclass
class LocalLauncher:
    """Options of hydra/launcher for runs on this machine.

    Attributes:
        n_jobs: Upper limit of parallel runs; -1 means as many as fit, and None as many as is
            measured to be fastest.
    """

    _target_: str = OURS
    n_jobs: int | None = None


def register_schema() -> None:
    """Let `schema` in a defaults list stand for the typed config, and offer our launchers.

    They replace Hydra's own `basic`, and the `joblib` of its plugin if that is installed.
    """
    Plugins.instance()  # plugins store their options when they are first looked for
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, n_jobs in LOCAL.items():
        store.store(group="hydra/launcher", name=name, node=LocalLauncher(n_jobs=n_jobs))


def parse(config: DictConfig) -> Config:
    """Turn a composed config into the checked, plain dataclass.

    Raises:
        InputError: If a value is missing, out of range or no choice.
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
            raise InputError(f"{prefix}{key}: no such key{nearest(key, owner)}")
        child = node._get_node(key)
        inner = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if isinstance(child, DictConfig) and inner is not None:
            _refuse_unknown(child, inner, f"{prefix}{key}.")


@contextmanager
def hydra_over_conf(config_dir: str | None) -> Iterator[ConfigLoader]:
    """Start Hydra over conf/ and a further folder of configs, unless it is started already."""
    if GlobalHydra.instance().is_initialized():
        yield GlobalHydra.instance().config_loader()
        return
    with initialize_config_dir(str(conf_dir()), job_name="run", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        if config_dir is not None:
            folder = Path(config_dir).resolve()
            if not folder.is_dir():
                raise InputError(f"--config-dir {config_dir}: no such folder")
            loader.get_search_path().prepend("command-line", f"file://{folder}")
        yield loader


def compose(loader: ConfigLoader, typed: CommandLine) -> DictConfig:
    """Compose the config of one run, or the one that the runs of a sweep have in common.

    Raises:
        InputError, HydraException: If it does not compose.
    """
    mode = RunMode.MULTIRUN if typed.is_sweep else RunMode.RUN
    with _one_kind_of_error(typed.overrides):
        composed = loader.load_configuration(
            typed.config_name, typed.overrides, mode, from_shell=False
        )
    if composed.hydra.callbacks:
        raise InputError("hydra.callbacks: btxrd calls none; leave them out")
    composed.hydra.mode = mode
    return composed


def compose_point(loader: ConfigLoader, base: DictConfig, overrides: list[str]) -> DictConfig:
    """Compose one run of a sweep.

    Raises:
        InputError, HydraException: If it does not compose.
    """
    with _one_kind_of_error(overrides):
        return loader.load_sweep_config(base, overrides)


@contextmanager
def _one_kind_of_error(overrides: list[str]) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # Hydra's own for an override such as model=null
        raise InputError(str(error)) from error
    except AssertionError as error:  # OmegaConf's for a key in a node that is null
        raise InputError(f"{' '.join(overrides)}: sets a key of what is null ({error})") from error


def job_spec(config: Config, task: DictConfig, hydra: Any, *, prefix: str = "") -> JobSpec:
    """Describe one run for its process.

    Args:
        config: Checked config of the run.
        task: The same as it was composed.
        hydra: Hydra's own node, composed with it.
        prefix: Begins each line of the log, to tell apart the lines of parallel runs.
    """
    logging: Any = OmegaConf.to_container(hydra.job_logging, resolve=True)
    for formatter in logging["formatters"].values():
        formatter["format"] = prefix + formatter["format"]
    contents = {"config": task, "hydra": {"hydra": hydra}, "overrides": hydra.overrides.task}
    return JobSpec(
        config=config,
        choices=dict(hydra.runtime.choices),
        logging=logging,
        record={f"{name}.yaml": OmegaConf.to_yaml(content) for name, content in contents.items()},
        environment={key: str(value) for key, value in hydra.job.env_set.items()},
    )
