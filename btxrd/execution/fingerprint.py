"""A short hash that identifies a run: of its identity settings and of the content of its data."""

import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from btxrd.artifacts.hashes import digest
from btxrd.config.identity import identity
from btxrd.config.schema import Config
from btxrd.data.constants import SUFFIXES, TABLES
from btxrd.errors import InputError
from btxrd.runtime.files import write_json
from btxrd.runtime.reading import files_below, readable


def fingerprint(config: Config) -> str:
    """Return the hash of a run's config and of its data.

    The schema declares which settings are included. The content of files is included and their path
    is not: model weights, a manifest, and the table, images and outlines of the data. Synthetic
    images are included by their config.
    """
    content = identity(config)
    if config.model.weights is not None:
        content["model.weights"] = _digest(Path(config.model.weights))
    if config.split.manifest is not None:
        content["split.manifest"] = _digest(Path(config.split.manifest))
    if config.data.phantom is None:
        content["data.content"] = _content(Path(config.data.root), Path(config.data.cache))
    return _short(content)


@functools.cache
@readable()
def _content(root: Path, cache: Path) -> str:
    """Hash the table, the images and the outlines under `root`, their paths included.

    A file is hashed again only if its size, its inode, or the time of the last change of its
    content or inode differs.
    """
    index = cache / f"digests-{_short(str(root.resolve()))}.json"
    known = _read_index(index)
    found = {}
    for path in _files(root):
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        name = path.relative_to(root).as_posix()
        *of_known, sha256 = known.get(name, [None])
        if of_known != stamp or sha256 is None:
            sha256 = _digest(path)
        found[name] = [*stamp, sha256]
    if found != known:
        with contextlib.suppress(InputError):  # the stored hashes only save time
            write_json(index, {"checksum": _short(found), "files": found})
    return _short({name: entry[-1] for name, entry in found.items()})


def _read_index(path: Path) -> dict[str, list[Any]]:
    """Read the stored hashes of the files. Return nothing if they are missing or damaged."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        known: dict[str, list[Any]] = index["files"]
        return known if index["checksum"] == _short(known) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _files(root: Path) -> list[Path]:
    tables = [path for name in TABLES if (path := root / name).is_file()]
    inside = [
        Path(folder) / name
        for folder, _, names in os.walk(root / "images")
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith((".", "~"))
    ]
    inside += files_below(root / "Annotations", ".json")
    return tables + sorted(path for path in inside if path.is_file())


def _digest(path: Path) -> str | None:
    """Hash a file; None if it cannot be read, which is reported elsewhere."""
    if not path.is_file():  # reading a pipe or a device may never end
        return None
    with contextlib.suppress(OSError):
        return digest(path)
    return None


def _short(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
