"""The names of the classes, as the files of a run give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class ClassNames:
    """Class names in the order of the labels, and the two classes with a special role.

    Attributes:
        names: Names of the classes with label 0, 1, ...
        focus: Class that the operating point is for, and whose missed cases are counted.
        background: Class without a lesion; None if every class has a lesion.
    """

    names: tuple[str, ...]
    focus: str
    background: str | None

    @classmethod
    def of_format_1(cls, names: Sequence[str]) -> Self:
        """Return the classes of a file of format 1, which contains only their names.

        Such files are from runs on BTXRD: the first class is the background, the last one the
        focus.
        """
        return cls(tuple(names), names[-1], names[0])

    def __len__(self) -> int:
        return len(self.names)

    @property
    def focus_label(self) -> int:
        """Label of the focus class."""
        return self.names.index(self.focus)

    @property
    def background_label(self) -> int | None:
        """Label of the background class."""
        return None if self.background is None else self.names.index(self.background)

    @property
    def with_lesion(self) -> tuple[str, ...]:
        """Names of the classes that have a lesion."""
        return tuple(name for name in self.names if name != self.background)
