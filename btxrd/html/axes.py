"""Axes of the plots of a page: positions of values, in percent of the width."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from btxrd.artifacts.scores.estimates import Estimate


@dataclass(frozen=True)
class Axis:
    """An axis from left to right.

    Attributes:
        start: Value at its left end.
        end: Value at its right end.
        ticks: Values that are written below the axis.
    """

    start: float
    end: float
    ticks: tuple[float, ...] = ()

    def at(self, value: float) -> float:
        """Return the position of a value in percent; a value beyond an end is drawn at this end."""
        share = (value - self.start) / (self.end - self.start)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def width(self, low: float, high: float) -> float:
        """Return the length in percent of the part of an interval that is on the axis."""
        return round(self.at(high) - self.at(low), 2)

    def beyond(self, value: float) -> str:
        """Return `left` or `right` for a value beyond the axis, otherwise an empty text."""
        return "left" if value < self.start else "right" if value > self.end else ""


def axis_over(
    values: Iterable[float | None], *, low: float = -math.inf, high: float = math.inf
) -> Axis:
    """Return an axis for values, with ticks at round numbers.

    Args:
        values: Values that the axis includes; None is ignored.
        low: Smallest start of the axis; smaller values are beyond it.
        high: Largest end of the axis; larger values are beyond it.
    """
    found = [value for value in values if value is not None] or [0.0, 1.0]
    start, end = max(min(found), low), min(max(found), high)
    if end - start < 0.02:  # equal values, or one
        start, end = max(start - 0.05, low), min(end + 0.05, high)
    room = (end - start) * 0.04
    start, end = max(start - room, low), min(end + room, high)
    step = _step(end - start)
    first = math.ceil(start / step - 1e-9)
    last = math.floor(end / step + 1e-9)
    ticks = tuple(round(place * step, 10) for place in range(first, last + 1))
    return Axis(round(start, 6), round(end, 6), ticks)


def ends(estimates: Iterable[Estimate | None]) -> list[float | None]:
    """Return the values and the interval ends of estimates, for `axis_over`."""
    found = [one for one in estimates if one is not None]
    return [value for one in found for value in (one.value, one.low, one.high)]


def _step(span: float) -> float:
    """Return the smallest distance of 1, 2 or 5 times a power of 10 with at most six steps."""
    power: float = 10.0 ** math.floor(math.log10(span / 6))
    return next(power * factor for factor in (1, 2, 5, 10) if span <= 6 * power * factor)
