"""Folders that the commands write into: only empty ones, and those that they made themselves."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from btxrd.errors import InputError
from btxrd.runtime.files import is_temporary

OF_SYSTEM = {".DS_Store", "lost+found"}


def refuse_foreign(
    folder: Path, place: str, is_made: Callable[[], bool], begun: Collection[str] = ()
) -> None:
    """Refuse a folder that is not empty and that btxrd did not make.

    Args:
        folder: Folder that is to be written into; it need not exist.
        place: Begins the message, such as `hydra.run.dir=FOLDER`.
        is_made: Whether the folder holds the file that tells that btxrd made it.
        begun: Names of the files that btxrd writes before that file.

    Raises:
        InputError: If the folder is foreign, cannot be read, or is a file.
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
            f"{place}: holds files that btxrd did not make there, such as {foreign[0]}; "
            "name a new or an empty folder"
        )


def inside(folder: Path, *paths: str) -> set[str]:
    """Return the names in a folder under which these paths lie, such as that of a cache."""
    found = set()
    for path in map(Path, paths):
        if path.absolute().is_relative_to(folder.absolute()):
            found |= set(path.absolute().relative_to(folder.absolute()).parts[:1])
    return found


def refuse_readonly(folder: Path, place: str) -> None:
    """Refuse a folder that cannot be written into, or cannot be made.

    Raises:
        InputError: If that is so.
    """
    at = folder.absolute()
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    if not at.is_dir():
        raise InputError(f"{place}: {at} is not a folder; name another one")
    if not os.access(at, os.W_OK | os.X_OK):
        raise InputError(f"{place}: cannot be written ({at} is read-only); name another folder")
