"""Checks of a config: the ranges and choices of its keys, and keys that depend on each other."""

import re
from dataclasses import fields, is_dataclass
from typing import Any

from btxrd.config.schema import AnnotationsConfig, ArchiveConfig, ModelConfig, SplitConfig
from btxrd.errors import InputError


def check(node: Any, prefix: str = "") -> None:
    """Check every value of a config against its range or its choices.

    Raises:
        InputError: for the first value that is out of range or no choice.
    """
    for item in fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        choices, low, high = (item.metadata.get(name) for name in ("choices", "low", "high"))
        if is_dataclass(value):
            check(value, f"{key}.")
        elif isinstance(value, str) and (not value.strip() or "\0" in value):
            raise InputError(f"{key}={value!r}: must not be empty")
        elif choices and value not in choices:
            raise InputError(f"{key}={value}: must be one of {', '.join(choices)}")
        elif low is not None and not (low <= value and (high is None or value <= high)):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InputError(f"{key}={value}: must be {span}")
    if isinstance(node, ModelConfig) and node.weights is not None and not node.pretrained:
        raise InputError(f"model.weights={node.weights}: needs model.pretrained=true")
    if isinstance(node, AnnotationsConfig) and node.sham != "none" and node.kind == "none":
        raise InputError(f"annotations.sham={node.sham}: needs annotations.kind other than none")
    if isinstance(node, ArchiveConfig):
        if not re.fullmatch(r"[0-9a-fA-F]{32}", node.md5):
            raise InputError(f"data.archive.md5={node.md5}: must be 32 hexadecimal digits")
        if not re.match(r"https?://[^/]", node.url):
            raise InputError(f"data.archive.url={node.url}: must begin with http:// or https://")
    if isinstance(node, SplitConfig):
        if node.strategy == "stratified" and node.val + node.test >= 0.9:
            raise InputError(
                f"split.val={node.val}, split.test={node.test}: must leave more than 0.1 to train"
            )
        if node.strategy == "center" and len(set(node.held_out)) != max(1, len(node.held_out)):
            raise InputError(f"split.held_out={list(node.held_out)}: must name centers, each once")
        if node.fold >= node.folds:
            raise InputError(f"split.fold={node.fold}: must be below split.folds={node.folds}")
        if node.strategy == "manifest" and node.manifest is None:
            raise InputError("split.manifest: has no value; give it as split.manifest=FILE")
        if node.strategy != "manifest" and node.manifest is not None:
            raise InputError(f"split.manifest={node.manifest}: needs split=manifest")
