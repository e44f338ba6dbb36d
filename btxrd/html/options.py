"""Content of the section on options: pairs of settings that differ in one option alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.artifacts.evidence.verdicts import JudgedDifference, OptionContrast
from btxrd.artifacts.summary import Summary
from btxrd.html.axes import Axis, axis_over, ends
from btxrd.html.splits import SplitColumn, split_columns

MOST_LINES = 40  # on the page; if there are more, each contrast has one line


@dataclass(frozen=True)
class OptionLine:
    """A pair of settings, or the mean over the pairs of a contrast.

    Attributes:
        context: Values that both settings share.
        differences: In macro AUC, by column; None if the split lacks the pair.
        is_pooled: Whether it is the mean over the pairs.
    """

    context: str
    differences: tuple[JudgedDifference | None, ...]
    is_pooled: bool = False


@dataclass(frozen=True)
class OptionTable:
    """One value of an option minus another one.

    Attributes:
        option: Config group or key.
        title: Both values, with a minus sign between them, such as "guided - none".
        is_control: Whether the first value is a control, with sham outlines.
        lines: The pairs, followed by their mean if there are several.
    """

    option: str
    title: str
    is_control: bool
    lines: tuple[OptionLine, ...]

    @property
    def in_short(self) -> OptionLine:
        """The last line, which summarises all pairs, with both values in its context."""
        last = self.lines[-1]
        pairs = f" ({len(self.lines) - 1} pairs)" if last.is_pooled else f" ({last.context})"
        control = ", control" if self.is_control else ""
        return OptionLine(f"{self.title}{control}{pairs}", last.differences)


@dataclass(frozen=True)
class Options:
    """All contrasts, on one axis.

    Attributes:
        columns: The splits.
        axis: Axis of the differences.
        tables: A table for each contrast, or for each option if there are many pairs.
        contrasts: A table for each contrast.
        pairs: Number of lines that are not shown.
    """

    columns: tuple[SplitColumn, ...]
    axis: Axis
    tables: tuple[OptionTable, ...]
    contrasts: tuple[OptionTable, ...]
    pairs: int


def options(summary: Summary) -> Options | None:
    """Return the contrasts, ordered by option and with controls last; None if there are none."""
    if not summary.options:
        return None
    columns = split_columns(summary)
    grouped: dict[tuple[str, str, str, bool], list[OptionContrast]] = {}
    for one in summary.options:
        grouped.setdefault((one.option, one.one, one.other, one.is_control), []).append(one)
    tables = [
        OptionTable(option, f"{one} − {other}", is_control, _lines(found, columns))
        for (option, one, other, is_control), found in sorted(
            grouped.items(), key=lambda item: (item[0][0], item[0][3])
        )
    ]
    lines = sum(len(table.lines) for table in tables)
    shown, hidden = tables, 0
    if lines > MOST_LINES:
        shown, hidden = _in_short(tables), lines - len(tables)
    axis = _axis(shown, summary.margin)
    return Options(tuple(columns), axis, tuple(shown), tuple(tables), hidden)


def _axis(tables: Sequence[OptionTable], margin: float) -> Axis:
    found = [one for table in tables for line in table.lines for one in line.differences]
    return axis_over([*ends(found), -2 * margin, 2 * margin], low=-0.5, high=0.5)


def _in_short(tables: Sequence[OptionTable]) -> list[OptionTable]:
    """Return a table for each option, with a line for each contrast."""
    return [
        OptionTable(option, "mean over the pairs", False, tuple(one.in_short for one in found))
        for option, found in _by_option(tables).items()
    ]


def _by_option(tables: Sequence[OptionTable]) -> dict[str, list[OptionTable]]:
    found: dict[str, list[OptionTable]] = {}
    for table in tables:
        found.setdefault(table.option, []).append(table)
    return found


def _lines(
    found: Sequence[OptionContrast], columns: Sequence[SplitColumn]
) -> tuple[OptionLine, ...]:
    by_column = [
        next((one for one in found if one.split == column.split), None) for column in columns
    ]
    contexts = dict.fromkeys(pair.context for one in found for pair in one.pairs)
    lines = [
        OptionLine(
            context,
            tuple(_difference(one, context) for one in by_column),
        )
        for context in contexts
    ]
    pooled = tuple(one.pooled if one else None for one in by_column)
    if any(pooled):
        lines.append(OptionLine(f"All {len(contexts)}, pooled", pooled, is_pooled=True))
    return tuple(lines)


def _difference(found: OptionContrast | None, context: str) -> JudgedDifference | None:
    pairs = found.pairs if found else ()
    return next((pair.difference for pair in pairs if pair.context == context), None)
