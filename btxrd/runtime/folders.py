"""Checks of the folders that the commands write into."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from btxrd.errors import InputError
from btxrd.runtime.files import TEMPORARY, describe_os_error, is_temporary

OF_SYSTEM = {".DS_Store", "lost+found"}


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

    Permissions do not tell everything: root may write anywhere except on a read-only file system,
    or in a folder such as /proc. So a file is created, and removed again.

    Raises:
        InputError: If the folder cannot be written into.
    """
    at = folder.absolute()
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    if not at.is_dir():
        raise InputError(f"{place}: {at} is not a folder; name another one")
    if not os.access(at, os.W_OK | os.X_OK):
        raise InputError(f"{place}: cannot be written ({at} is read-only); name another folder")
    trial = at / f"writable.{os.getpid()}{TEMPORARY}"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError(
            f"{place}: cannot be written ({at}: {describe_os_error(error)}); name another folder"
        ) from error
