"""config.yaml: the config of a run, and the config group options that it was composed from."""

from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import msgspec
import yaml

from btxrd import __version__
from btxrd.artifacts.codec import DAMAGE, check_format
from btxrd.config.identity import flat
from btxrd.config.schema import REQUIRED, Config
from btxrd.errors import DamagedError
from btxrd.runtime.files import read_file, write_text

CONFIG = "config.yaml"
FORMAT = 2
NO_EVIDENCE = "These results say nothing about BTXRD or about any clinic."  # about synthetic data


@dataclass(frozen=True)
class StoredConfig:
    """Content of config.yaml.

    Attributes:
        config: Config of the run. A setting that did not exist when the file was written has its
            neutral value.
        choices: Option of each config group that the config was composed from.
    """

    config: Config
    choices: dict[str, str | None]


def write_config(run_dir: Path, config: Config, choices: dict[str, str]) -> None:
    """Write config.yaml of a run."""
    content = asdict(config) | {"choices": choices, "format": FORMAT, "btxrd": __version__}
    write_text(run_dir / CONFIG, yaml.safe_dump(content, sort_keys=False))


def read_config(run_dir: Path) -> StoredConfig:
    """Read config.yaml of a run.

    Raises:
        InputError: If the file is missing or damaged, or has a newer format.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    path = run_dir / CONFIG
    try:
        content = yaml.load(read_file(path).decode(), loader)
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        check_format(path, content, FORMAT)
        config = msgspec.convert(_completed(content, Config), Config, strict=False)
        for key, value in flat(config).items():
            if value == REQUIRED:  # the file was truncated
                raise ValueError(f"{key} is missing")
        choices = msgspec.convert(content.get("choices", {}), dict[str, str | None])
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read ({error.strerror})") from error
    except (*DAMAGE, yaml.YAMLError) as error:
        raise DamagedError(f"{path}: cannot be read ({str(error)[:200]})") from error
    return StoredConfig(config, choices)


def _completed(content: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return a content in which each missing setting has its neutral value, if it has one."""
    found = dict(content)
    hints = get_type_hints(kind)
    for item in fields(kind):
        inner = _dataclass_of(hints[item.name])
        if inner is not None and isinstance(found.get(item.name), dict):
            found[item.name] = _completed(found[item.name], inner)
        elif item.name not in found and "neutral" in item.metadata:
            found[item.name] = item.metadata["neutral"]
        elif item.name not in found and inner is not None and item.default is MISSING:
            found[item.name] = _completed({}, inner)
    return found


def _dataclass_of(hint: Any) -> type | None:
    """Return the dataclass in a type hint, which may be a union with None; None without one."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next((one for one in options if isinstance(one, type) and is_dataclass(one)), None)
