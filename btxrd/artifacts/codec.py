"""Read and write JSON files through the dataclasses that describe them.

A file contains the number of its format (`format: N`) and the version of btxrd that wrote it. A
reader accepts older formats: `Artifact.upgrade` converts their content to the present format. A
reader ignores fields that it does not know.
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

Content = dict[str, Any]  # content of a JSON object; used in this package only
LIST_OF_NUMBERS = re.compile(r"\[\n([-+\d.eE,\s]+)\]")  # strings in JSON contain no line break
A = TypeVar("A", bound="Artifact")
DAMAGE = (  # exceptions that the conversion of a damaged file raises
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip


class Artifact:
    """Base of the frozen dataclasses that describe a JSON file.

    Attributes:
        FORMAT: Number of the present format. If a key changes its name or its meaning, raise the
            number, extend `upgrade`, and keep a file of the old format among the tests.
    """

    FORMAT: ClassVar[int] = 1

    @classmethod
    def upgrade(cls, content: Content, older: int) -> Content:
        """Convert the content of a file of format `older` to the present format."""
        return content

    def as_content(self) -> Content:
        """Return the content of the file, without the keys that `write` adds."""
        found: Content = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_content(cls, content: Content) -> Self:
        """Convert the content of a file of the present format to an object.

        Raises:
            msgspec.ValidationError: If a key is missing, or has a value of the wrong type.
        """
        return msgspec.convert(content, cls)


def write(path: Path, artifact: Artifact) -> None:
    """Write a file atomically.

    Args:
        path: Path to the file.
        artifact: Content of the file.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not allow.
        OSError: If the file cannot be written.
    """
    head = {"format": artifact.FORMAT, "btxrd": __version__}
    plain = json.dumps(head | artifact.as_content(), allow_nan=False)
    content = msgspec.json.format(plain, indent=2)  # much faster than `json.dumps(indent=2)`
    write_text(path, LIST_OF_NUMBERS.sub(_in_one_line, content) + "\n")


def _in_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"


def read(path: Path, kind: type[A]) -> A:
    """Read a file of the present format or of an older one.

    Args:
        path: Path to the file.
        kind: Dataclass of its content.

    Raises:
        DamagedError: If the file is damaged.
        InputError: If the file has a newer format than this version of btxrd can read.
        OSError: If the file cannot be read.
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
    """Convert a number in JSON text; NaN and infinity raise a ValueError."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def check_format(path: Path, content: Content, latest: int) -> int:
    """Return the number of the format of a file.

    Args:
        path: Path to the file, for the message.
        content: Content of the file.
        latest: Number of the newest format that can be read.

    Raises:
        ValueError: If the key `format` is not a positive integer.
        InputError: If the format is newer than `latest`.
    """
    number = content.get("format", 1)
    if type(number) is not int or number < 1:  # isinstance would accept True
        raise ValueError(f"format={number}")
    if number > latest:
        writer = content.get("btxrd", "a newer version")
        raise InputError(
            f"{path}: has format {number}, written by btxrd {writer}; this is btxrd {__version__}, "
            f"which reads formats up to {latest}; install btxrd {writer} or newer"
        )
    return number


def is_artifact(path: Path, key: str) -> bool:
    """Return whether a file is a JSON file of btxrd.

    Args:
        path: Path to the file.
        key: A key of the file in format 1, which did not have the key `btxrd`.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and bool({"btxrd", key} & content.keys())


def refuse_newer(path: Path, latest: int) -> None:
    """Refuse to replace a file of a newer format; a missing or damaged file may be replaced.

    Args:
        path: Path to the file.
        latest: Number of the newest format that can be read.

    Raises:
        InputError: If the format of the file is newer than `latest`.
    """
    with contextlib.suppress(OSError, DamagedError, *DAMAGE):
        content = json.loads(read_file(path))
        if isinstance(content, dict):
            check_format(path, content, latest)
