"""Read and write JSON files through the dataclasses that describe them.

A file says which format it has (`format: N`) and which version of btxrd wrote it. A reader accepts
every older format: `Artifact.upgrade` brings the content of one to the present format. Fields that
a reader does not know are ignored.
"""

import contextlib
import json
import math
import re
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from btxrd import __version__
from btxrd.errors import DamagedError, InputError
from btxrd.runtime.files import read_file, write_text

Content = dict[str, Any]  # of a JSON object; stays in this package
LIST_OF_NUMBERS = re.compile(r"\[\n([-+\d.eE,\s]+)\]")  # no string holds a line break
A = TypeVar("A", bound="Artifact")
DAMAGE = (  # what converting the content of a damaged file raises
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip


class Artifact:
    """Base of the frozen dataclasses that describe a JSON file.

    Attributes:
        FORMAT: Number of the present format. Raise it when a key changes its name or its meaning,
            extend `upgrade`, and keep a file of the old format among the tests.
    """

    FORMAT: ClassVar[int] = 1

    @classmethod
    def upgrade(cls, content: Content, older: int) -> Content:
        """Bring the content of a file of format `older` to the present format."""
        return content

    def as_content(self) -> Content:
        """Return the content of the file, without the keys that `write` adds."""
        found: Content = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_content(cls, content: Content) -> Self:
        """Convert the content of a file of the present format.

        Raises:
            msgspec.ValidationError: If a key is missing, or has a value of the wrong type.
        """
        return msgspec.convert(content, cls)


def write(path: Path, artifact: Artifact) -> None:
    """Write a file, whole or not at all.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not have.
    """
    head = {"format": artifact.FORMAT, "btxrd": __version__}
    plain = json.dumps(head | artifact.as_content(), allow_nan=False)
    content = msgspec.json.format(plain, indent=2)  # much faster than the indent of json
    write_text(path, LIST_OF_NUMBERS.sub(_in_one_line, content) + "\n")


def _in_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"


def read(path: Path, kind: type[A]) -> A:
    """Read a file of the present format or of an older one.

    Raises:
        DamagedError: If the file is damaged.
        InputError: If it has a format that is newer than this btxrd.
        OSError: If it cannot be read.
    """
    try:
        content = json.loads(read_file(path), parse_float=_finite, parse_constant=_finite)
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        number = check_format(path, content, kind.FORMAT)
        return kind.from_content(kind.upgrade(content, number))
    except DAMAGE as error:
        raise DamagedError(f"{path}: is damaged ({str(error)[:200]})") from error


def _finite(text: str) -> float:
    """Convert a number of JSON, which has neither NaN nor infinity."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def check_format(path: Path, content: Content, latest: int) -> int:
    """Return the number of the format that a file has.

    Raises:
        ValueError: If it is no number of a format.
        InputError: If it is newer than `latest`.
    """
    number = content.get("format", 1)
    if type(number) is not int or number < 1:  # True is an int, too
        raise ValueError(f"format={number}")
    if number > latest:
        writer = content.get("btxrd", "a newer version")
        raise InputError(
            f"{path}: has format {number}, written by btxrd {writer}; this is btxrd {__version__}, "
            f"which reads formats up to {latest}; install btxrd {writer} or newer"
        )
    return number


def is_artifact(path: Path, key: str) -> bool:
    """Return whether a file is a JSON file of btxrd; `key` is one that it had in format 1."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and bool({"btxrd", key} & content.keys())


def refuse_newer(path: Path, latest: int) -> None:
    """Refuse to replace a file of a newer format; one that is missing or damaged can be replaced.

    Raises:
        InputError: If the format of the file is newer than `latest`.
    """
    with contextlib.suppress(OSError, DamagedError, *DAMAGE):
        content = json.loads(read_file(path))
        if isinstance(content, dict):
            check_format(path, content, latest)
