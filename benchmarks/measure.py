"""Measure two things alternately, so that noise of the machine affects both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: Name of what is measured.
        ours: Its median value.
        unit: Unit of the values.
        beside: Name of the reference.
        theirs: Median value of the reference.
        ratio: Median of `ours` / `theirs` over the turns.
        target: Target of the ratio, such as `<= 1.3`, or empty.
        doubled: Value at twice the size divided by `ours`, or None.
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
        """Whether the target is met; None without a target."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.ratio <= float(bound) if sign == "<=" else self.ratio >= float(bound)


def seconds(work: Callable[[], object]) -> float:
    """Return the duration of one call in seconds."""
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
    """Measure two things alternately, and return a row of the table.

    Args:
        what: Name of what is measured.
        unit: Unit of the values.
        ours: Function that returns a value of it.
        beside: Name of the reference.
        theirs: Function that returns a value of the reference.
        turns: Number of values of each.
        warm_up: Measure each once before, without using the values.
        target: Target of the ratio; see `Row`.
        doubled: Function that returns a value of `what` at twice the size.
    """
    if warm_up:
        ours()
        theirs()
    pairs = [(ours(), theirs()) for _ in range(turns)]
    ratio = statistics.median(one / other for one, other in pairs)
    mine, other = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    grown = None if doubled is None else doubled() / mine
    return Row(what, mine, unit, beside, other, ratio, target, grown)
