"""The settings that the schema declares as part of the identity of a run.

Paths, `device` and `compile` are not part of it, although the last two can change a metric.
"""

from dataclasses import fields, is_dataclass
from typing import Any

from btxrd.config.schema import Config

Settings = dict[str, Any]  # values by dotted key: numbers, strings, lists of numbers, None


def identity(node: Any, prefix: str = "") -> Settings:
    """Return the settings that identify a run.

    A field that is declared with `identity=False` is left out, and so is a field at its neutral
    value. A new setting therefore leaves the identity of existing runs as it is.

    Args:
        node: A config, or a part of it.
        prefix: Key of the part, with a dot at its end.
    """
    found: Settings = {}
    for item in fields(node):
        value = getattr(node, item.name)
        if not item.metadata.get("identity", True):
            continue
        if "neutral" in item.metadata and value == item.metadata["neutral"]:
            continue
        if is_dataclass(value):
            found |= identity(value, f"{prefix}{item.name}.")
        else:
            found[prefix + item.name] = value
    return found


def flat(node: Any, prefix: str = "") -> Settings:
    """Return every setting of a config, or of a part of it, by its dotted key."""
    found: Settings = {}
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            found |= flat(value, f"{prefix}{item.name}.")
        else:
            found[prefix + item.name] = value
    return found


def differing(stored: Config, wanted: Config) -> str:
    """Describe how the config stored in a folder differs from the requested one."""
    old, new = identity(stored), identity(wanted)
    every, now = flat(stored), flat(wanted)
    changes = [
        f"{key}={every.get(key)} there, {now.get(key)} now"
        for key in dict.fromkeys([*new, *old])
        if old.get(key) != new.get(key)
    ]
    return ", ".join(changes) or (
        "the content of model.weights, split.manifest, or of the data: table, images, outlines"
    )
