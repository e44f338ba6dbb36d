"""Two things timed in turn, so that a noisy machine is noisy for both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: is measured.
        ours: its figure, with `unit`.
        beside: what it is held against.
        theirs: the figure of that.
        ratio: of ours to theirs, the median over the turns.
        target: such as `<= 1.3`, or empty.
        doubled: ours at twice the size, over ours; None where it has no size.
    """

    what: str
    ours: float
    unit: str
    beside: str
    theirs: float
    ratio: float
    target: str = ""
    doubled: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.ratio <= float(bound) if sign == "<=" else self.ratio >= float(bound)


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(
    what: str,
    unit: str,
    ours: Callable[[], float],
    beside: str,
    theirs: Callable[[], float],
    *,
    turns: int,
    warm_up: bool = True,
    target: str = "",
    doubled: Callable[[], float] | None = None,
) -> Row:
    """Take figures of both in turn, with `warm_up` after one of each that does not count."""
    if warm_up:
        ours()
        theirs()
    pairs = [(ours(), theirs()) for _ in range(turns)]
    ratio = statistics.median(one / other for one, other in pairs)
    mine, other = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    grown = None if doubled is None else doubled() / mine
    return Row(what, mine, unit, beside, other, ratio, target, grown)
