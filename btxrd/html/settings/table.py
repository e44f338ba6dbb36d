"""The table of settings: a line for each setting on all splits, in blocks, with references."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary
from btxrd.html.axes import Axis, axis_over, ends
from btxrd.html.settings.lines import Line, difference, lines_of, value
from btxrd.html.splits import SplitColumn, chunks, split_columns

CHANCE = 0.5  # macro AUC
COMPACT = 25  # number of settings from which rows are compact
OPEN = 10  # settings of a folded block that are shown at first
NARROW = 5  # settings that are shown at first on a narrow screen
MOST_BARS = 6  # largest number of letters that are drawn as bars
TAIL = 0.3  # share of the differences of a long table that may be beyond the axis


@dataclass(frozen=True)
class Block:
    """Lines with a heading.

    Attributes:
        heading: Heading; may be empty.
        lines: The lines.
        folded_from: Index from which lines are folded.
    """

    heading: str
    lines: tuple[Line, ...]
    folded_from: int


@dataclass(frozen=True)
class ReferenceLine:
    """A model without pixels.

    Attributes:
        name: Name of the model.
        about: Columns that it uses; may be empty.
        values: Macro AUC on each split; None if it was not computed.
    """

    name: str
    about: str
    values: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class SettingsTable:
    """A table of settings on at most three splits.

    Attributes:
        columns: The splits.
        compared: Index of the column whose differences and letters are shown; None without any.
        is_sorted_by: Index of the column that the lines are sorted by.
        axis: Axis of the metric.
        differences: Axis of the differences from the selected setting; None without any.
        blocks: The lines, in blocks.
        references: Models without pixels.
        is_compact: Whether the rows are compact.
        bars: Number of bars that are drawn; 0 if letters are shown instead.
        tests: Number of differences whose intervals hold simultaneously.
        detectable: Smallest difference that would have been found with 80% power.
    """

    columns: tuple[SplitColumn, ...]
    compared: int | None
    is_sorted_by: int
    axis: Axis
    differences: Axis | None
    blocks: tuple[Block, ...]
    references: tuple[ReferenceLine, ...]
    is_compact: bool
    bars: int
    tests: int
    detectable: float | None

    @property
    def lines(self) -> list[Line]:
        """All lines."""
        return [line for block in self.blocks for line in block.lines]


def settings_tables(summary: Summary) -> list[SettingsTable]:
    """Return a table for every three splits; all but the first one are folded on the page."""
    return [_table(summary, columns) for columns in chunks(split_columns(summary))]


def _table(summary: Summary, columns: Sequence[SplitColumn]) -> SettingsTable:
    lines = lines_of(summary, columns)
    compared = next(
        (at for at in range(len(columns)) if any(difference(line, at) for line in lines)), None
    )
    by = compared or 0
    lines.sort(key=lambda line: -value(line, by))
    is_compact = len(lines) >= COMPACT
    lines, bars = _with_bars(lines, by)
    judged = [one for line in lines if (one := difference(line, by)) is not None]
    references = _references(summary, columns)
    return SettingsTable(
        columns=tuple(columns),
        compared=compared,
        is_sorted_by=by,
        axis=_axis(lines, references),
        differences=None if compared is None else _difference_axis(lines, by, summary.margin),
        blocks=_blocks(lines, by, is_compact and compared is not None),
        references=references,
        is_compact=is_compact,
        bars=0 if is_compact or len(lines) < 2 else bars,
        tests=max((one.tests for one in judged), default=0),
        detectable=max((one.detectable for one in judged if one.detectable), default=None),
    )


def _axis(lines: Sequence[Line], references: Sequence[ReferenceLine]) -> Axis:
    values = [cell.value for line in lines for cell in line.cells if cell]
    values += [value for line in references for value in line.values if value]
    seeds = [seed.value for line in lines for cell in line.cells if cell for seed in cell.seeds]
    return axis_over([CHANCE, *ends(values), *seeds], low=0, high=1)


def _difference_axis(lines: Sequence[Line], at: int, margin: float) -> Axis:
    """Return an axis for the differences.

    It does not include settings at chance and the worst settings of a long table, so that the
    others have enough room. Their values are drawn as arrows at the end of the axis.
    """
    found = [
        (cell.row.skill, cell.row.difference)
        for line in lines
        if (cell := line.cells[at]) is not None and cell.row.difference is not None
    ]
    above = [one for skill, one in found if skill == "above_chance"]
    shown = [value for value in ends(above or [one for _, one in found]) if value is not None]
    reach = -math.inf
    if len(lines) >= COMPACT and shown:
        reach = sorted(shown)[int(TAIL * len(shown))]
    return axis_over([-2 * margin, margin, *shown], low=max(-1, reach), high=1)


def _with_bars(lines: Sequence[Line], at: int) -> tuple[list[Line], int]:
    """Return the lines with bars that join lines with a common letter, and the number of bars."""
    letters = [
        set(_split_letters(cell.letters)) if (cell := line.cells[at]) else set() for line in lines
    ]
    order = list(dict.fromkeys(letter for found in letters for letter in sorted(found)))
    if len(order) > MOST_BARS:
        return list(lines), 0
    spans = {}
    for letter in order:
        places = [place for place, found in enumerate(letters) if letter in found]
        spans[letter] = (places[0], places[-1])
    result = []
    for place, line in enumerate(lines):
        bars = []
        for letter in order:
            first, last = spans[letter]
            parts = ["dot"] * (letter in letters[place])
            parts += ["up"] * (first < place <= last) + ["down"] * (first <= place < last)
            bars.append(" ".join(parts))
        result.append(replace(line, bars=tuple(bars)))
    return result, len(order)


def _split_letters(text: str) -> list[str]:
    """Divide letters, which may each be followed by a number: "a1b1" into "a1" and "b1"."""
    found: list[str] = []
    for sign in text:
        if sign.isdigit() and found:
            found[-1] += sign
        else:
            found.append(sign)
    return found


def _blocks(lines: Sequence[Line], at: int, in_two: bool) -> tuple[Block, ...]:
    if not in_two:
        return (Block("", tuple(lines), len(lines)),)
    worse = [line for line in lines if _is_worse(line, at)]
    rest = [line for line in lines if not _is_worse(line, at)]
    blocks = [
        Block(f"The selected setting, and those that are not shown to be worse: {len(rest)}",
              tuple(rest), len(rest)),
        Block(f"Worse than the selected setting: {len(worse)}", tuple(worse), OPEN),
    ]  # fmt: skip
    return tuple(block for block in blocks if block.lines)


def _is_worse(line: Line, at: int) -> bool:
    found = difference(line, at)
    return found is not None and found.verdict == "worse"


REFERENCES = {
    "table": (
        "Table",
        "center and image size; age, gender, site, region and view if the table has them",
    ),
    "center_and_size": ("Center and image size", ""),
}


def _references(summary: Summary, columns: Sequence[SplitColumn]) -> tuple[ReferenceLine, ...]:
    names = dict.fromkeys(one.name for one in summary.references)
    lines = []
    for name in names:
        values = tuple(
            next(
                (
                    one.macro_auc
                    for one in summary.references
                    if one.name == name
                    and (one.split, one.split_hash) == (column.split, column.split_hash)
                ),
                None,
            )
            for column in columns
        )
        if any(values):
            title, about = REFERENCES.get(name, (name.replace("_", " ").capitalize(), ""))
            lines.append(ReferenceLine(title, about, values))
    return tuple(lines)
