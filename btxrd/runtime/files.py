"""Atomic writes, lock files and caches."""

import errno
import itertools
import json
import logging
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from btxrd.errors import DamagedError, InputError

log = logging.getLogger(__name__)
T = TypeVar("T")

TEMPORARY = ".btxrd.tmp"
OF_OLDER = frozenset((  # files that versions up to 0.2 wrote as NAME.PID.tmp
    "status.json", "config.yaml", ".reserve", "split.csv", "history.csv", "predictions.csv",
    "metrics.json", "gradcam.csv", "lesion_maps.csv", "lesion_maps.npz", "shortcuts.csv", "card.md",
    "best.safetensors", "best.json", "last.pt", "hydra.yaml", "overrides.yaml", "plan.json",
    "multirun.yaml", "stop", "summary.csv", "summary.json", "report.html", "audit.json",
    "audit.html",
))  # fmt: skip
OF_PICTURES = {"figures", "gradcam"}  # folders of a run
WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
IN_USE_SECONDS = 2.0 if sys.platform == "win32" else 0.0  # Windows replaces no file that is open
FULL = 64 * 1024  # bytes free, below which a file system counts as full
REASONS = {  # why a file cannot be written; the system describes any other error itself
    errno.ENOSPC: "the file system is full",
    errno.EDQUOT: "the quota of this user or folder is used up",
    errno.EFBIG: "it would be larger than the limit on the size of files (ulimit -f)",
    errno.EROFS: "the file system is read-only",
}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. If the block succeeds, rename it to `path`.

    Raises:
        InputError: If the file cannot be written: the file system is full (for any exception of the
            writer), a quota or a limit is reached, or the folder is not writable.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _replace(temporary, path)
    except Exception as error:
        reason = _reason_of(error, path, temporary)
        if reason is not None:
            raise InputError(f"{path}: cannot be written, {reason}") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """Rename a file to `path`. On Windows, wait for other processes to close the old one."""
    deadline = time.monotonic() + IN_USE_SECONDS
    while True:
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.05)


def _reason_of(error: Exception, path: Path, temporary: Path) -> str | None:
    """Return why `path` cannot be written, or None if the error is about something else.

    Libraries report a full disk in different ways, and some of them delete the file.
    """
    if isinstance(error, OSError) and error.errno is not None:
        named = Path(os.fsdecode(error.filename or path))
        if named in (path, temporary, *path.parents):
            return describe_os_error(error)
    is_full = os.strerror(errno.ENOSPC) in str(error) or (
        path.parent.is_dir() and shutil.disk_usage(path.parent).free < FULL
    )
    return REASONS[errno.ENOSPC] if is_full else None


def describe_os_error(error: OSError) -> str:
    """Return why the system refused an operation, without the name of the file."""
    return REASONS.get(error.errno or 0, error.strerror or str(error))


def is_temporary(path: Path) -> bool:
    """Return whether `atomic_write` made a file, which remains if its process is killed."""
    left = re.fullmatch(r"(.+)\.\d+(\.btxrd)?\.tmp", path.name)
    if left is None:
        return False
    name, is_of_now = left.groups()
    return bool(is_of_now) or name in OF_OLDER or path.parent.name in OF_PICTURES


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes. The caller holds the lock of the folder."""
    for path in folder.rglob("*.tmp"):
        if is_temporary(path):
            path.unlink(missing_ok=True)


def _remove_leftovers_of(target: Path) -> None:
    """Remove the temporary files of one file of a cache. The caller holds the lock of that file."""
    for path in target.parent.glob("*.tmp"):
        if re.fullmatch(re.escape(target.name) + r"\.\d+(\.btxrd)?\.tmp", path.name):
            path.unlink(missing_ok=True)


def remove_leftovers_of_cache(cache: Path) -> None:
    """Remove the temporary files of a cache that no running process is writing."""
    for path in list(cache.glob("*.tmp")) if cache.is_dir() else []:
        target = path.with_name(re.sub(r"\.\d+(\.btxrd)?\.tmp$", "", path.name))
        guard = target.with_name(target.name + ".lock")
        if target != path and guard.is_file():
            with suppress(OSError), lock(guard) as handle:
                if handle is not None:
                    _remove_leftovers_of(target)
    remove_abandoned(cache)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in a folder whose processes have ended.

    Use this for files that are written without a lock.
    """
    import psutil

    for path in folder.glob(f"*{TEMPORARY}"):
        pid = path.name.removesuffix(TEMPORARY).rpartition(".")[2]
        with suppress(
            OSError, OverflowError
        ):  # OverflowError: the number is too large for a process
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                path.unlink()


@contextmanager
def lock(
    path: Path, timeout: float = 0, give_up: Callable[[], bool] = lambda: False
) -> Iterator[int | None]:
    """Hold a lock file.

    The lock belongs to the open file, and the system releases it whenever the process ends. Except
    on Windows, a child process that inherits the descriptor holds the lock too. While another
    thread starts a program, that program also holds it for some milliseconds. A lock that was just
    released may therefore still be taken, so a caller that needs it has to wait.

    Args:
        path: Path to the lock file, which is not removed.
        timeout: Number of seconds to wait for another holder.
        give_up: Function that is called repeatedly, and ends the wait by returning True.

    Yields:
        The descriptor, or None if another process holds the lock.

    Raises:
        InputError: If the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + timeout
    try:
        while not (is_ours := _try_lock(descriptor, path)):
            if time.monotonic() >= deadline or give_up():
                break
            time.sleep(0.1)
        yield descriptor if is_ours else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        raise InputError(
            f"{path}: the file system of this folder has no locks ({error.strerror}), so two "
            "commands could damage each other's files; choose a folder on another file system"
        ) from error


def read_or_build(target: Path, read: Callable[[Path], T], build: Callable[[Path], None]) -> T:
    """Read a file of a cache. If it is missing or damaged, `build` writes it first.

    A lock ensures that one process at a time builds it, and that the others wait.

    Raises:
        InputError: If the cache cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(target.with_name(target.name + ".lock"), math.inf))
        except OSError as error:
            raise InputError(
                f"data.cache={target.parent}: cannot be written ({describe_os_error(error)}); "
                "name another folder"
            ) from error
        if target.is_file():
            try:
                return read(target)
            except Exception as error:  # the type depends on the kind of damage
                log.warning("%s is damaged (%s) and will be rebuilt", target, error)
        _remove_leftovers_of(target)
        with atomic_write(target) as temporary:
            build(temporary)
        return read(target)


def free_name(path: Path) -> Path:
    """Return a path at which nothing exists: `path`, or `path` with a number appended."""
    for number in itertools.count(2):
        if not os.path.lexists(path):
            return path
        path = path.with_name(f"{path.name.removesuffix(f'.{number - 1}')}.{number}")
    raise AssertionError


def is_there(path: Path) -> bool:
    """Return whether anything exists at a path. A broken link counts.

    Raises:
        OSError: If the folder cannot be read.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DamagedError: If it is not a regular file but, for example, a folder or a pipe.
        OSError: If it is missing or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise DamagedError(f"{path}: is damaged (it is not a file)")
    return path.read_bytes()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON. Raise ValueError for NaN or infinity, which JSON cannot express."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file that this package wrote.

    Raises:
        DamagedError: If it is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedError(f"{path}: is damaged ({error})") from error
