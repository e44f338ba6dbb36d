"""The main findings as a grid: a row for each question, a column for each split."""

from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.html.axes import Axis
from btxrd.html.splits import SIDE_BY_SIDE
from btxrd.report.sentences.findings import (
    QUESTIONS,
    Finding,
    IntervalPlot,
    MarkKind,
    SplitFindings,
)

LETTER = 2.3  # width of a letter below a plot, in percent of the plot
SIGNS = {  # sign of a verdict, in addition to its words and its colour
    "supported": "✓",
    "refuted": "✗",
    "partly": "◐",
    "unclear": "?",
    "not_assessed": "–",
}


@dataclass(frozen=True)
class GridCell:
    """A finding on the page.

    Attributes:
        finding: The finding.
        sign: Sign of the verdict.
        axis: Axis of the plot; None without a plot.
        labelled: References that have enough room for a label.
    """

    finding: Finding
    sign: str
    axis: Axis | None
    labelled: tuple[str, ...]


@dataclass(frozen=True)
class GridRow:
    """A question and its findings.

    Attributes:
        question: Text of the question.
        explanation: Explanation of the plots.
        section: Anchor of the section with the evidence.
        cells: The finding of each column; None for a column without one.
    """

    question: str
    explanation: str
    section: str
    cells: tuple[GridCell | None, ...]


@dataclass(frozen=True)
class GridColumn:
    """A column, with the sign that its split is drawn with."""

    found: SplitFindings
    kind: MarkKind
    label: str


@dataclass(frozen=True)
class Grid:
    """Findings of at most three splits."""

    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]


def grids(found: Sequence[SplitFindings], kinds: dict[str, MarkKind], focus: str) -> list[Grid]:
    """Return the grids, the first of which is shown; the others are folded.

    Args:
        found: Findings of all splits.
        kinds: Sign of each split, by its title.
        focus: Name of the class that questions are about.
    """
    order = {"seen": 0, "unseen": 1, "other": 2}
    columns = [
        GridColumn(one, kind, _label(one, kind, list(kinds.values())))
        for one in found
        for kind in (kinds.get(one.split, "unseen" if one.is_unseen else "other"),)
    ]
    columns.sort(key=lambda column: order[column.kind])
    return [
        _grid(columns[at : at + SIDE_BY_SIDE], focus) for at in range(0, len(columns), SIDE_BY_SIDE)
    ]


def _label(found: SplitFindings, kind: MarkKind, kinds: Sequence[MarkKind]) -> str:
    is_alone = kind != "other" and list(kinds).count(kind) == 1
    return f"{kind.capitalize()} centers" if is_alone else found.split


def _grid(columns: Sequence[GridColumn], focus: str) -> Grid:
    rows = []
    for question in QUESTIONS:
        cells = tuple(
            next((_cell(one) for one in column.found.findings if one.key == question.key), None)
            for column in columns
        )
        if any(cells):
            text = question.text.format(focus=focus)
            rows.append(GridRow(text, question.explanation, question.section, cells))
    return Grid(tuple(columns), tuple(rows))


def _cell(finding: Finding) -> GridCell:
    plot = finding.plot
    if plot is None:
        return GridCell(finding, SIGNS[finding.verdict], None, ())
    axis = Axis(plot.start, plot.end)
    return GridCell(finding, SIGNS[finding.verdict], axis, _labelled(plot, axis))


def _labelled(plot: IntervalPlot, axis: Axis) -> tuple[str, ...]:
    """Return the references whose labels do not overlap; the first ones have priority."""
    taken: list[tuple[float, float]] = []
    found = []
    for label, value in plot.references:
        half = LETTER * len(label) / 2
        left, right = axis.at(value) - half, axis.at(value) + half
        if label and all(right < start or left > end for start, end in taken):
            taken.append((left, right))
            found.append(label)
    return tuple(found)
