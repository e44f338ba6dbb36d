"""Compose a config onto the schema with Hydra, and convert it to plain dataclasses.

This module loads no torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from btxrd.config.choices import conf_dir
from btxrd.config.jobspec import JOBLIB, Context, JobSpec
from btxrd.config.messages import nearest
from btxrd.config.schema import Config, check
from btxrd.errors import InputError


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
            raise InputError(f"{prefix}{key}: no such key{nearest(key, owner)}")
        child = node._get_node(key)
        inner = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if isinstance(child, DictConfig) and inner is not None:
            _refuse_unknown(child, inner, f"{prefix}{key}.")


@contextmanager
def hydra_over_conf(config_dir: str | None) -> Iterator[Hydra]:
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


def compose(hydra: Hydra, config_name: str, overrides: list[str], mode: RunMode) -> DictConfig:
    """Compose a config as Hydra does.

    Raises:
        InputError, HydraException: for what does not compose.
    """
    try:
        return hydra.compose_config(
            config_name, overrides, mode, from_shell=False, with_log_configuration=False
        )
    except ValueError as error:  # Hydra's own for an override such as model=null
        raise InputError(str(error)) from error
    except AssertionError as error:  # OmegaConf's for a key in a node that is null
        raise InputError(f"{' '.join(overrides)}: sets a key of what is null ({error})") from error


def job_of(config: DictConfig, hydra_config: HydraConf) -> tuple[JobSpec, Context]:
    """Turn what Hydra hands to a job into plain values.

    Raises:
        InputError: see `parse`.
    """
    contents = {"config": config, "hydra": hydra_config, "overrides": hydra_config.overrides.task}
    record = {
        f"{name}.yaml": OmegaConf.to_yaml({"hydra": content} if name == "hydra" else content)
        for name, content in contents.items()
    }
    launcher = str(hydra_config.launcher._target_).rpartition(".")[2]
    logging: Any = OmegaConf.to_container(hydra_config.job_logging, resolve=True)
    if launcher == JOBLIB:  # the lines of several runs stand among each other
        for formatter in logging["formatters"].values():
            formatter["format"] = f"#{hydra_config.job.num} {formatter['format']}"
    job = JobSpec(parse(config), dict(hydra_config.runtime.choices), logging, record)
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    context = Context(
        sweep_dir=Path(hydra_config.sweep.dir).absolute() if is_sweep else None,
        launcher=launcher,
        is_search=not str(hydra_config.sweeper._target_).endswith(".BasicSweeper"),
    )
    return job, context
