"""Read files that a user provides. One line names the file for what the system does not give."""

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
