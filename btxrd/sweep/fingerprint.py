"""What can change a number of a run, named by one short hash."""

import contextlib
import functools
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from btxrd.files import write_json
from btxrd.schema import Config
from btxrd.vocabulary import SUFFIXES, TABLES

NO_NUMBER = (
    "data.root",
    "data.cache",
    "data.archive",
    "split.manifest",
    "device",
    "compile",
    "fail_fast",
    "max_failed",
    "runs_per_gpu",
    "report.images",
)  # keys that cannot change a figure


def fingerprint(config: Config) -> str:
    """Name all that can change a number of a run; paths, device and launcher are left out.

    Files count by their content, not by their place: one of weights, a manifest, and the table,
    films and outlines of the data. Synthetic films follow from their config.
    """
    content = numbers(asdict(config))
    if config.model.weights is not None:
        content["model.weights"] = _digest(Path(config.model.weights))
    if config.split.manifest is not None:
        content["split.manifest"] = _digest(Path(config.split.manifest))
    if config.data.phantom is None:
        content["data.content"] = _content(Path(config.data.root), Path(config.data.cache))
    return _short(content)


def numbers(node: dict[str, Any]) -> dict[str, Any]:
    """Flatten a config to dotted keys, without those that cannot change a number."""
    return {
        name: value
        for name, value in flat(node).items()
        if not any(name == key or name.startswith(f"{key}.") for key in NO_NUMBER)
    }


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a config to dotted keys."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def differing(stored: dict[str, Any], config: Config) -> str:
    """Word how the config of a folder differs from the one that is asked for."""
    old, new = numbers(stored), numbers(asdict(config))
    changes = [
        f"{key}={old.get(key)} there, {new[key]} now" for key in new if old.get(key) != new[key]
    ]
    return ", ".join(changes) or (
        "the content of model.weights, split.manifest, or of the data: table, films, outlines"
    )


@functools.cache
def _content(root: Path, cache: Path) -> str:
    """Name the table, films and outlines under `root` by path and content.

    What was read once is not read again while its size and time of change are the same.
    """
    index = cache / f"digests-{_short(str(root.resolve()))}.json"
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    found = {}
    for path in _files(root):
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns]
        name = path.relative_to(root).as_posix()
        old = known.get(name)
        digest = old[2] if old is not None and old[:2] == stamp else _digest(path)
        found[name] = [*stamp, digest]
    if found != known:
        with contextlib.suppress(OSError):  # it only saves time
            write_json(index, found)
    return _short({name: entry[2] for name, entry in found.items()})


def _files(root: Path) -> list[Path]:
    tables = [path for name in TABLES if (path := root / name).is_file()]
    inside = [
        Path(folder) / name
        for top, suffixes in (("images", SUFFIXES), ("Annotations", (".json",)))
        for folder, _, names in os.walk(root / top)
        for name in names
        if name.lower().endswith(suffixes) and not name.startswith((".", "~"))
    ]
    return tables + sorted(path for path in inside if path.is_file())


def _digest(path: Path) -> str | None:
    """Name a file by its content; None where there is none to read, which is reported elsewhere."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _short(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
