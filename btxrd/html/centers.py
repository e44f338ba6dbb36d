"""The section on unseen centers: selected settings at each center, and losses of all settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from btxrd.artifacts.evidence.comparison import Gap
from btxrd.artifacts.scores.estimates import UNDEFINED, Count, Estimate
from btxrd.artifacts.summary import Summary
from btxrd.html.axes import Axis, axis_over, ends
from btxrd.html.splits import SplitColumn, split_columns
from btxrd.report.comparison_sets import ComparisonSet

METRIC = "macro_auc"


@dataclass(frozen=True)
class CenterLine:
    """A center in the test partition of a split.

    Attributes:
        column: Split.
        center: Number of the center.
        n: Number of test cases from the center.
        counts: Number of these cases of each class, such as "19 normal, 13 benign, 4 malignant".
        values: Macro AUC of each selected setting; None if the setting was not run on the split.
    """

    column: SplitColumn
    center: str
    n: Count
    counts: str
    values: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class Centers:
    """Content of the section.

    Attributes:
        settings: Names of the selected settings, each with the splits that it was selected on.
        lines: One line for each center of each split.
        axis: Axis of macro AUC.
        gaps: Generalisation gaps of all settings.
        gap_axis: Axis of the gaps.
        selected: Names of the first runs of the selected settings, whose gaps are marked.
    """

    settings: tuple[tuple[str, str], ...]
    lines: tuple[CenterLine, ...]
    axis: Axis
    gaps: tuple[Gap, ...]
    gap_axis: Axis
    selected: frozenset[str]


def centers(summary: Summary, sets: Sequence[ComparisonSet]) -> Centers | None:
    """Return the content of the section; None if no setting was run at unseen centers."""
    columns = split_columns(summary)
    if not any(column.kind == "unseen" for column in columns):
        return None
    chosen = _chosen(summary, columns)
    counts = _class_counts(sets)
    lines = [
        _line(summary, column, center, keys=list(chosen), counts=counts)
        for column in columns
        if column.kind != "other"
        for center in _centers_of(summary, column)
    ]
    gaps = sorted(summary.generalisation_gap, key=lambda gap: -(_gap(gap).value or -1))
    values = [value for line in lines for value in line.values]
    parts = [part for gap in gaps for part in (_gap(gap), gap.metrics[METRIC].class_balanced_gap)]
    return Centers(
        settings=tuple(chosen.values()),
        lines=tuple(lines) if chosen else (),
        axis=axis_over([0.5, *ends(values)], low=0, high=1),
        gaps=tuple(gaps),
        gap_axis=axis_over([-summary.margin, summary.margin, *ends(parts)], low=-1, high=1),
        selected=frozenset(
            run for row in summary.settings if row.key in chosen for run in row.runs[:1]
        ),
    )


def _gap(gap: Gap) -> Estimate:
    return gap.metrics[METRIC].gap


def _chosen(summary: Summary, columns: Sequence[SplitColumn]) -> dict[str, tuple[str, str]]:
    """Return the selected settings by key: the name, and the splits that it was selected on."""
    found: dict[str, tuple[str, str]] = {}
    for column in columns:
        winner = column.winner_of(summary)
        for row in summary.settings:
            if winner is not None and winner.run in row.runs and column.kind != "other":
                name, where = found.get(row.key, (row.setting, ""))
                found[row.key] = name, f"{where}, {column.short}".removeprefix(", ")
    return found


def _centers_of(summary: Summary, column: SplitColumn) -> list[str]:
    rows = [row for row in summary.settings if column.contains(row)]
    return sorted({center for row in rows for center in row.per_center}, key=lambda c: (len(c), c))


def _line(
    summary: Summary,
    column: SplitColumn,
    center: str,
    *,
    keys: Sequence[str],
    counts: dict[tuple[str, str, str], str],
) -> CenterLine:
    rows = [row for row in summary.settings if column.contains(row)]
    by_key = {row.key: row.per_center[center] for row in rows if center in row.per_center}
    values = tuple(
        by_key[key].values.get(METRIC, UNDEFINED) if key in by_key else None for key in keys
    )
    n = next(iter(by_key.values())).n
    return CenterLine(
        column, center, n, counts.get((column.split, column.split_hash, center), ""), values
    )


def _class_counts(sets: Sequence[ComparisonSet]) -> dict[tuple[str, str, str], str]:
    """Return the number of test cases of each class, as text, by split, split hash and center."""
    found = {}
    for compared in sets:
        setting, test = compared.settings[0], compared.settings[0].test
        for center in np.unique(test.centers):
            labels = test.labels[test.centers == center]
            text = ", ".join(
                f"{int((labels == label).sum())} {name}"
                for label, name in enumerate(test.names.names)
            )
            found[setting.split, setting.split_hash, str(center)] = text
    return found
