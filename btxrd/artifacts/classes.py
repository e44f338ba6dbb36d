"""The classes that a model tells apart, as the files of a run name them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class ClassNames:
    """Class names in the order of the labels, and the two classes with a part of their own.

    Attributes:
        names: Label 0, 1, ...
        focus: The class of the operating point and of the missed cases.
        background: The class without a lesion; None if every class has one.
    """

    names: tuple[str, ...]
    focus: str
    background: str | None

    @classmethod
    def of_format_1(cls, names: Sequence[str]) -> Self:
        """Return the classes of a file that gives their names alone.

        Such files are of BTXRD, whose first class has no lesion and whose last one matters most.
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
