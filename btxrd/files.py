"""Files that are whole or not there: written beside their place, then renamed into it."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from btxrd.errors import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")

TEMPORARY = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; a block that ends well renames it onto `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_or_build(target: Path, read: Callable[[Path], T], build: Callable[[Path], None]) -> T:
    """Read a file of a cache; where it is not there, or is damaged, `build` makes it first.

    Processes take turns.

    Raises:
        InputError: where the cache cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise InputError(
            f"data.cache={target.parent}: cannot be written ({error.strerror})"
        ) from error
    try:
        if target.is_file():
            try:
                return read(target)
            except Exception as error:  # each kind of damage raises a type of its own
                log.warning("%s is damaged (%s), and is built again", target, error)
        with replacing(target) as beside:
            build(beside)
        return read(target)
    finally:
        lock.release()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that this package wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
