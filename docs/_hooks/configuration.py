"""The tables of the configuration reference, from the schema and the files under `conf/`."""

import json
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any, get_args, get_type_hints

import yaml
from docstrings import attributes, description, table, type_name
from omegaconf import DictConfig, OmegaConf

from btxrd.config.choices import GROUPS, choices_of, conf_dir
from btxrd.config.commandline import parse_arguments
from btxrd.config.compose import compose, hydra_over_conf, register_schema
from btxrd.config.schema import Config

CONTENT = ("data.root", "model.weights", "split.manifest")  # keys whose files are hashed
HEAD = ("Key", "Values", "Default", "New run", "Effect")


def keys() -> str:
    """Return a section with a table for each part of a config."""
    register_schema()
    with hydra_over_conf(None) as loader:
        plain, real = (compose(loader, parse_arguments(words)) for words in ([], ["data=btxrd"]))
    sections = [_section("General keys", Config, "", plain, real)]
    for name, kind in _parts(Config):
        sections.append(_section(f"`{name}`", kind, f"{name}.", plain, real))
    return "\n\n".join(sections)


def _parts(kind: type) -> Iterator[tuple[str, type]]:
    """Yield the dataclasses in a config with their dotted names."""
    for name, hint in get_type_hints(kind).items():
        for part in (hint, *get_args(hint)):
            if is_dataclass(part):
                yield name, part
                yield from ((f"{name}.{inner}", one) for inner, one in _parts(part))


def _section(title: str, kind: type, prefix: str, plain: DictConfig, real: DictConfig) -> str:
    texts, hints, parts = attributes(kind), get_type_hints(kind), dict(_parts(kind))
    rows = []
    for item in fields(kind):
        if item.name in parts or item.name.startswith("_"):  # `_target_` cannot be changed
            continue
        key = prefix + item.name
        default = _value(plain, key), _value(real, key)
        shown = default[0] if default[0] == default[1] else f"{default[0]}<br>BTXRD: {default[1]}"
        changes = "content" if key in CONTENT else "yes" if _counts(key) else "no"
        rows.append(
            (
                f"`{key}`{{ #{key} }}",
                _values(item, hints[item.name]),
                shown,
                changes,
                texts[item.name],
            )
        )
    return f"### {title}\n\n{description(kind)}\n\n{table(HEAD, rows)}"


def _counts(key: str) -> bool:
    """Return whether a key is part of the identity of a run."""
    kind: Any = Config
    for name in key.split("."):
        (item,) = (one for one in fields(kind) if one.name == name)
        if not item.metadata.get("identity", True):
            return False
        kind = dict(_parts(kind)).get(name)
    return True


def _value(config: DictConfig, key: str) -> str:
    """Return the value of a key as it is written in an override."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if node is None or OmegaConf.is_missing(node, name):
        return "not set" if node is None else "`???`"
    value = OmegaConf.to_container(node[name]) if OmegaConf.is_config(node[name]) else node[name]
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def _values(item: "Field[Any]", hint: Any) -> str:
    """Describe the values that a key can have."""
    if choices := item.metadata.get("choices"):
        return ", ".join(f"`{one}`" for one in choices)
    low, high = item.metadata.get("low"), item.metadata.get("high")
    name = type_name(hint)
    if low is None:
        return name
    return f"{name}, {low} or more" if high is None else f"{name} from {low} to {high}"


def groups() -> str:
    """Return a section with a table for each config group."""
    return "\n\n".join(_group(name) for name in (*GROUPS, "hydra/launcher"))


def _group(group: str) -> str:
    rows = []
    for option in choices_of(group):
        text = (conf_dir() / group / f"{option}.yaml").read_text()
        comments = [line[2:] for line in text.splitlines() if line.startswith("# ")]
        (first, *_) = (line for line in comments if not line.startswith("@package"))
        sets = ", ".join(f"`{one}`" for one in _overrides(group, text))
        rows.append((f"`{group}={option}`", first, sets))
    return f"### `{group}=...`\n\n{table(('Option', 'Description', 'Sets'), rows)}"


def _overrides(group: str, text: str) -> Iterator[str]:
    """Yield what a file sets, as overrides of the command line."""
    content = yaml.safe_load(text) or {}
    for item in content.pop("defaults", []):
        for chosen, option in item.items() if isinstance(item, dict) else [(group, item)]:
            if option != "_self_" and not str(option).startswith("/"):
                yield f"{chosen.removeprefix('override ').removeprefix('/')}={option}"
            elif str(option).startswith("/"):
                yield "=".join(option[1:].split("/", 1))
    prefix = "" if "@package _global_" in text else group.replace("hydra/", "hydra.") + "."
    for key, value in _flat(content):
        yield f"{prefix}{key}".removeprefix("hydra.sweeper.params.") + f"={value}"


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, yaml.safe_dump(value).split("\n")[0]
