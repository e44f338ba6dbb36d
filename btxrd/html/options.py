"""What each option changes: pairs of settings that differ in one option alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.artifacts.summary import Summary
from btxrd.artifacts.verdicts import JudgedDifference, OptionContrast
from btxrd.html.axes import Axis, axis_over, ends
from btxrd.html.splits import SplitColumn, split_columns


@dataclass(frozen=True)
class OptionLine:
    """A pair of settings, or all of a contrast pooled, with a difference for each split.

    Attributes:
        context: What the two settings have in common.
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
        title: Both values, such as "guided minus none", with the sign for minus.
        is_control: Whether the first value is a sham.
        lines: The pairs, and the pooled one at the end.
    """

    option: str
    title: str
    is_control: bool
    lines: tuple[OptionLine, ...]


@dataclass(frozen=True)
class Options:
    """All contrasts, on one axis."""

    columns: tuple[SplitColumn, ...]
    axis: Axis
    tables: tuple[OptionTable, ...]


def options(summary: Summary) -> Options | None:
    """Return the contrasts by option, controls after the others; None if there are none."""
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
    shown = [
        difference for table in tables for line in table.lines for difference in line.differences
    ]
    axis = axis_over([*ends(shown), -2 * summary.margin, 2 * summary.margin], low=-0.5, high=0.5)
    return Options(tuple(columns), axis, tuple(tables))


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
