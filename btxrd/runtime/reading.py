"""Read files that a user provides. One line names the file for what the system does not give."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from btxrd.errors import InputError

LARGEST = 2**30  # bytes; an image of 100 million pixels of three times 16 bits has 600 million


@contextmanager
def readable() -> Iterator[None]:
    """Raise InputError, which names the file or folder, for one that cannot be read."""
    try:
        yield
    except OSError as error:
        place = error.filename or "data.root"
        raise InputError(f"{place}: cannot be read ({error.strerror})") from error


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        InputError: For one that cannot be read, is absurdly large, or is a folder, a pipe or a
            device, of which reading might never end.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: is a folder, a pipe or a device; must be a file")
        if state.st_size > LARGEST:
            raise InputError(f"{path}: has {state.st_size:,} bytes; at most {LARGEST:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def files_below(top: Path, suffix: str) -> Iterator[Path]:
    """Yield the files below a folder that have a suffix, without those whose name begins . or ~.

    Folders and links to folders are entered, each once. A missing `top` holds no files.

    Args:
        top: Path to the folder.
        suffix: With its dot, in small letters; the names may have it in capitals.

    Raises:
        OSError: For a folder that cannot be read, and for a link to nothing.
    """

    def stop(error: OSError) -> None:
        raise error

    entered = set()
    if not os.path.lexists(top):
        return
    for folder, folders, names in os.walk(top, onerror=stop, followlinks=True):
        state = Path(folder).stat()
        if (state.st_dev, state.st_ino) in entered:
            folders.clear()
            continue
        entered.add((state.st_dev, state.st_ino))
        folders.sort()
        # A folder whose name has the suffix is given too, and cannot be read as a file.
        named = [name for name in folders if name.lower().endswith(suffix)]
        for path in (Path(folder) / name for name in sorted(names + named)):
            if path.name.startswith((".", "~")):
                continue
            if path.suffix.lower() == suffix:
                yield path
            elif path.is_symlink():
                path.stat()
