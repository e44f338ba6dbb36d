"""Read files that a user provides. An error is one line that names the file."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from btxrd.errors import InputError

LARGEST = 2**30  # bytes; a 16-bit RGB image of 100 million pixels has 600 million bytes


@contextmanager
def readable() -> Iterator[None]:
    """Convert an OSError in the block to an InputError that names the file or folder."""
    try:
        yield
    except OSError as error:
        place = error.filename or "data.root"
        raise InputError(f"{place}: cannot be read ({error.strerror})") from error


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        InputError: If the file cannot be read, is larger than LARGEST, or is a folder, a pipe or a
            device. Reading a pipe or a device might never end.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: is a folder, a pipe or a device; must be a file")
        if state.st_size > LARGEST:
            raise InputError(f"{path}: has {state.st_size:,} bytes; must have at most {LARGEST:,}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def files_below(top: Path, suffix: str) -> Iterator[Path]:
    """Yield the files below a folder that have a suffix and whose names do not begin with . or ~.

    Folders and links to folders are entered once each. If `top` is missing, there are no files.

    Args:
        top: Path to the folder.
        suffix: Suffix with its dot, in lower case. Names may have it in upper case.

    Raises:
        OSError: If a folder cannot be read or a link is broken.
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
        # A folder whose name has the suffix is yielded too, so that reading it reports the error.
        named = [name for name in folders if name.lower().endswith(suffix)]
        for path in (Path(folder) / name for name in sorted(names + named)):
            if path.name.startswith((".", "~")):
                continue
            if path.suffix.lower() == suffix:
                yield path
            elif path.is_symlink():
                path.stat()
