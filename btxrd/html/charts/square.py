"""Square charts as SVG: their parts, and the positions of values in the frame.

The picture is 1000 units wide. Positions are rounded to whole units, which are at most half a pixel
at the widths of charts on the pages.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from btxrd.artifacts.evidence.curves import Curve, Points

LEFT, RIGHT, TOP, BOTTOM = 130, 960, 25, 855  # edges of the frame, in units of the picture
WIDTH = 1000
HEIGHT = 985


@dataclass(frozen=True)
class Scale:
    """One axis of a chart.

    Attributes:
        label: Label of the axis.
        start: Value at its left or lower end.
        end: Value at the other end.
        ticks: Values that are written beside the axis.
        as_percent: Whether the ticks are written as percentages.
    """

    label: str
    start: float
    end: float
    ticks: tuple[float, ...]
    as_percent: bool = False

    def share(self, value: float) -> float:
        """Return the position of a value, from 0 to 1; values beyond an end are drawn there."""
        return min(max((value - self.start) / (self.end - self.start), 0.0), 1.0)

    def written(self, tick: float) -> str:
        """Return a tick as text."""
        text = f"{tick:.0%}" if self.as_percent else f"{tick:.6g}"
        return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Frame:
    """A square with two axes.

    Attributes:
        x: Horizontal axis.
        y: Vertical axis.
    """

    x: Scale
    y: Scale

    def left(self, value: float) -> int:
        """Return the horizontal position of a value, in units of the picture."""
        return round(LEFT + self.x.share(value) * (RIGHT - LEFT))

    def top(self, value: float) -> int:
        """Return the vertical position of a value, in units of the picture."""
        return round(BOTTOM - self.y.share(value) * (BOTTOM - TOP))

    def line(self, xs: Iterable[float], ys: Iterable[float]) -> str:
        """Return the SVG path through points, interrupted where it is outside the frame."""
        parts: list[list[tuple[int, int]]] = [[]]
        was_beyond = True
        for x, y in zip(xs, ys, strict=True):
            is_beyond = not self.y.start <= y <= self.y.end
            if is_beyond and was_beyond:
                parts.append([])
            parts[-1].append((self.left(x), self.top(y)))
            was_beyond = is_beyond
        return "".join(_path(part) for part in parts if len(part) > 1)

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
        """Return the closed SVG path around the area between two lines."""
        around = zip([*xs, *reversed(xs)], [*low, *reversed(high)], strict=True)
        return f"{_path([(self.left(x), self.top(y)) for x, y in around])}z"


def _path(points: Sequence[tuple[int, int]]) -> str:
    """Return an SVG path in relative steps, which takes half the text of absolute positions."""
    if not points:
        return ""
    steps = [
        f"{x - before[0]} {y - before[1]}"
        for before, (x, y) in pairwise(points)
        if (x, y) != before
    ]
    rest = " ".join(steps).replace(" -", "-")
    return f"M{points[0][0]} {points[0][1]}" + (f"l{rest}" if rest else "")


UNIT_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def unit(label: str) -> Scale:
    """Return an axis from 0 to 1."""
    return Scale(label, 0.0, 1.0, UNIT_TICKS)


@dataclass(frozen=True)
class Drawn:
    """A line of a chart.

    Attributes:
        name: Name of the setting that it belongs to; empty for a reference.
        style: Class in the style sheet, such as `h1` to `h4`, `grey`, `reference` or `raw`.
        path: SVG path of the line.
        band: SVG path of its confidence band; empty without one.
    """

    name: str
    style: str
    path: str
    band: str = ""


@dataclass(frozen=True)
class Dot:
    """A point of a chart, such as an operating point.

    Attributes:
        name: Name of the setting that it belongs to; may be empty.
        style: Class in the style sheet.
        left: Horizontal position.
        top: Vertical position.
        label: Tooltip.
    """

    name: str
    style: str
    left: int
    top: int
    label: str


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram below a chart.

    Attributes:
        left: Horizontal position of its left edge, in units of the picture.
        width: Width, in units of the picture.
        height: Height, in units of the picture.
        label: Number of images, as text.
    """

    left: int
    width: int
    height: int
    label: str


@dataclass(frozen=True)
class Chart:
    """A square chart.

    Attributes:
        key: Identifier on the page, and name of the exported files.
        title: Title of the chart.
        note: Explanation of the chart.
        frame: Axes of the chart.
        lines: Lines, in the order in which they are drawn.
        dots: Points, such as operating points.
        bars: Bars below the chart.
        values: Values such as AUC, each after the style of its setting.
        table: Data of the chart as CSV.
        reason: Reason why nothing is drawn; empty if the chart is drawn.
    """

    key: str
    title: str
    note: str
    frame: Frame
    lines: tuple[Drawn, ...]
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    table: str = ""
    reason: str = ""


def csv_of(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([head, *rows])
    return text.getvalue()


def table_of(axis: str, grid: Points, curves: Sequence[Curve]) -> str:
    """Return the data of a chart as CSV, with a column for each curve and each end of a band."""
    columns: dict[str, Points] = {axis: grid}
    for curve in curves:
        columns[curve.setting] = curve.y
        if curve.low is not None and curve.high is not None:
            columns |= {f"{curve.setting} low": curve.low, f"{curve.setting} high": curve.high}
    rows = [[f"{value:.3g}" for value in row] for row in zip(*columns.values(), strict=True)]
    return csv_of(list(columns), rows)
