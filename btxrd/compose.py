"""Hydra's side of the house: composing configs onto the schema, planning a sweep, wording errors.

Only this room and `run.py` know OmegaConf. It loads no torch.
"""

import difflib
import re
from collections.abc import Container
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from btxrd import schema
from btxrd.errors import InputError
from btxrd.schema import Config, check

LONGEST_NAME = 240  # bytes; file systems allow 255


def conf_dir() -> Path:
    """Find the YAML files: inside the package where it was built, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


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
    for key in node:
        if str(key) not in {item.name for item in fields(owner)}:
            raise InputError(f"{prefix}{key}: no such key{_nearest(str(key), owner)}")
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _refuse_unknown(child, OmegaConf.get_type(child), f"{prefix}{key}.")


@dataclass(frozen=True)
class Plan:
    """A sweep before anything runs: its folder, and the config of each run by its folder's name."""

    sweep_dir: Path
    runs: dict[str, Config]


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
    if config_dir:
        overrides = [*overrides, f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader = hydra.config_loader
        base = hydra.compose_config(
            config_name, overrides, RunMode.MULTIRUN, from_shell=False, with_log_configuration=False
        )
        swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.params or {}).items()]
        parsed = OverridesParser.create(loader).parse_overrides(
            swept + list(base.hydra.overrides.task)
        )
        runs: dict[str, Config] = {}
        for point in BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]:
            composed = loader.load_sweep_config(base, list(point))
            name = str(composed.hydra.sweep.subdir)
            _check_name(name, " ".join(point), runs)
            with open_dict(composed):
                del composed["hydra"]
            runs[name] = parse(composed)
        return Plan(Path(str(base.hydra.sweep.dir)), runs)


def _check_name(name: str, point: str, taken: Container[str]) -> None:
    if not name:
        raise InputError("nothing to sweep over: leave out -m, or give a key several values")
    if name in taken:
        raise InputError(
            f"{point}: two runs of this sweep would share the folder {name}; "
            "sweep only over keys that are part of a folder's name"
        )
    if max(map(len, name.split("/"))) > LONGEST_NAME:
        raise InputError(f"{name}: longer than a folder's name may be; use an experiment file")


def explain(error: Exception) -> str:
    """Say in one line what Hydra or OmegaConf found wrong, and what would be right."""
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
        return f"{full_key}: no such key{_nearest(key, getattr(schema, owner))}"
    wrong = re.search(r"(Value .*|Cannot .*|Incompatible .*)\s+full_key: (\S+)", text)
    if wrong:
        return f"{wrong[2]}: {wrong[1]}"
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not re.match(r"\w+_type=", line))


def _nearest(key: str, owner: type) -> str:
    known = [item.name for item in fields(owner)]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
