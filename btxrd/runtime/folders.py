"""Checks of the folders that the commands write into."""

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from btxrd.errors import InputError
from btxrd.runtime.files import REASONS, is_temporary

OF_SYSTEM = {".DS_Store", "lost+found"}
MARGIN = 1.2  # factor of the expected space, below which free space is reported as scarce


@dataclass(frozen=True)
class Need:
    """Disk space that a folder needs, in bytes.

    Attributes:
        folder: The folder, which need not exist.
        least: Space without which the work cannot be finished.
        expected: Space that the work will probably take at its peak.
        largest: Size of the largest file.
        files: Least number of files.
    """

    folder: Path
    least: int
    expected: int
    largest: int = 0
    files: int = 0


def refuse_foreign(
    folder: Path, place: str, is_made: Callable[[], bool], begun: Collection[str] = ()
) -> None:
    """Refuse a folder that contains files and was not created by btxrd.

    Args:
        folder: Folder that is to be written into; it need not exist.
        place: Start of the message, such as `hydra.run.dir=FOLDER`.
        is_made: Function that returns whether the folder contains the file that marks it as
            created by btxrd.
        begun: Names of the files that btxrd writes before that file.

    Raises:
        InputError: If btxrd did not create the folder, if it cannot be read, or if it is a file.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise InputError(f"{place}: is not a folder; name another one") from error
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror})") from error
    foreign = sorted(
        name for name in names - OF_SYSTEM - set(begun) if not is_temporary(folder / name)
    )
    if foreign and not is_made():
        raise InputError(
            f"{place}: contains files that btxrd did not create, such as {foreign[0]}; "
            "name a new or an empty folder"
        )


def inside(folder: Path, *paths: str) -> set[str]:
    """Return the names of the entries of a folder that contain any of the paths."""
    found = set()
    for path in map(Path, paths):
        if path.absolute().is_relative_to(folder.absolute()):
            found |= set(path.absolute().relative_to(folder.absolute()).parts[:1])
    return found


def refuse_readonly(folder: Path, place: str) -> None:
    """Refuse a folder that cannot be written into or cannot be created.

    Permissions alone are not sufficient: root may write anywhere except on a read-only file system,
    or in a folder such as /proc. Therefore, a file is created. It has no name
    or a unique one, because several threads may check at the same time.

    Raises:
        InputError: If the folder cannot be written into.
    """
    at = _existing(folder)
    if not at.is_dir():
        raise InputError(f"{place}: {at} is not a folder; name another one")
    if not os.access(at, os.W_OK | os.X_OK):
        raise InputError(f"{place}: cannot be written ({at} is read-only); name another folder")
    try:
        TemporaryFile(dir=at).close()
    except OSError as error:
        why = REASONS.get(error.errno or 0, "no file can be created in it")
        raise InputError(
            f"{place}: cannot be written ({at}: {why}); name another folder"
        ) from error


def check_space(needs: Iterable[Need]) -> list[str]:
    """Check that file systems have enough free space for all folders in them.

    A quota is not known to the system call that returns the free space, so it is not checked.

    Returns:
        A warning for each file system whose space may not suffice.

    Raises:
        InputError: If the space or the number of files of a file system does not suffice, or if a
            file would exceed the limit of this process (`ulimit -f`).
    """
    by_device: dict[int, list[Need]] = {}
    for need in needs:
        with suppress(OSError):  # a folder that cannot be read has been reported
            by_device.setdefault(_existing(need.folder).stat().st_dev, []).append(need)
    warnings = []
    for group in by_device.values():
        place, at = " and ".join(str(it.folder) for it in group), _existing(group[0].folder)
        with suppress(OSError):
            usage = shutil.disk_usage(at)
            least = sum(it.least for it in group)
            expected = round(MARGIN * sum(it.expected for it in group))
            free = f"{format_bytes(usage.free)} free on this file system"
            hint = "free some space or name another folder"
            if usage.total and usage.free < least:
                raise InputError(
                    f"{place}: at least {format_bytes(least)} are needed, {free}; {hint}"
                )
            if usage.total and usage.free < expected:
                warnings.append(f"{place}: {format_bytes(expected)} may be needed, {free}; {hint}")
            _check_number_of_files(place, at, sum(need.files for need in group))
        for need in group:
            _check_size_of_files(need)
    return warnings


def _check_number_of_files(place: str, at: Path, files: int) -> None:
    if hasattr(os, "statvfs"):
        found = os.statvfs(at)
        if found.f_files and found.f_favail < files:
            raise InputError(
                f"{place}: at least {files} files are needed, {found.f_favail} more are possible "
                "on this file system; delete some files or name another folder"
            )


def _check_size_of_files(need: Need) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and limit < need.largest:
        raise InputError(
            f"{need.folder}: a file of {format_bytes(need.largest)} is needed, the limit on the "
            f"size of files is {format_bytes(limit)}; raise it with ulimit -f"
        )


def format_bytes(size: int) -> str:
    """Format a size in MB or GB."""
    if size >= 10**9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 10**7 else f"{size / 1e6:.1f} MB"


def _existing(folder: Path) -> Path:
    """Return the nearest folder above a path that exists, or the path itself."""
    at = folder.absolute()
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    return at
