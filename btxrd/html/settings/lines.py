"""The lines of the table of settings: a setting on all splits, with its runs and its tags."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.verdicts import JudgedDifference
from btxrd.artifacts.scores.clinical import PointMetrics
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary, SummaryRow
from btxrd.html.splits import SplitColumn
from btxrd.report.columns import Column

METRIC = "macro_auc"  # metric by which settings are compared and sorted
SHAMS = ("_shuffled", "_normals")  # endings of the titles of annotations that are a control


@dataclass(frozen=True)
class Seed:
    """A run of a setting.

    Attributes:
        seed: Seed of the run.
        run: Name of the run.
        value: Macro AUC on test; None if it is undefined.
    """

    seed: int
    run: str
    value: float | None


@dataclass(frozen=True)
class Cell:
    """A setting on one split.

    Attributes:
        row: Metrics of the setting.
        value: Metric that settings are compared by.
        seeds: Runs of the setting.
        is_selected: Whether the setting was selected on this split.
    """

    row: SettingRow
    value: Estimate
    seeds: tuple[Seed, ...]
    is_selected: bool

    @property
    def letters(self) -> str:
        """Letters of the setting in the compact letter display."""
        return self.row.compared[METRIC].set

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds."""
        return self.row.compared[METRIC].sd

    @property
    def point(self) -> PointMetrics | None:
        """Test metrics at the threshold that was chosen on val."""
        clinical = self.row.clinical
        point = clinical.operating_point if clinical else None
        return point.test if point else None

    @property
    def target(self) -> float | None:
        """Target sensitivity on val of the operating point."""
        clinical = self.row.clinical
        point = clinical.operating_point if clinical else None
        return point.val_sensitivity_asked if point else None


@dataclass(frozen=True)
class Line:
    """A setting, as a line of the table.

    Attributes:
        name: Name of the setting.
        about: Model and annotations, unless they are in the name.
        cells: The setting on each split; None if it was not scored there.
        tags: Tags, such as "control", each with its class in the style sheet.
        bars: For each letter, the parts of its bar in the line: `dot`, `up` and `down`.
    """

    name: str
    about: str
    cells: tuple[Cell | None, ...]
    tags: tuple[tuple[str, str], ...]
    bars: tuple[str, ...] = ()

    @property
    def first(self) -> Cell:
        """The first cell that is not None."""
        return next(cell for cell in self.cells if cell is not None)


Numbers = tuple[float, float | None, float | None]  # value, low and high


def other_metrics(
    lines: Sequence[Line], columns: Sequence[Column]
) -> dict[str, list[list[Numbers | None]]]:
    """Return the headline metrics by their heading, for each line and each split."""
    return {
        column.heading: [
            [_numbers(cell.row.metric(column.key)) if cell else None for cell in line.cells]
            for line in lines
        ]
        for column in columns
    }


def _numbers(found: Estimate | None) -> Numbers | None:
    if found is None or found.value is None:
        return None
    low, high = (None if end is None else round(end, 4) for end in (found.low, found.high))
    return round(found.value, 4), low, high


def lines_of(summary: Summary, columns: Sequence[SplitColumn]) -> list[Line]:
    """Return a line for each setting; settings that differ in the split alone share a line."""
    runs = {row.run: row for row in summary.runs}
    by_key: dict[str, list[SettingRow]] = defaultdict(list)
    for row in summary.settings:
        by_key[row.key].append(row)
    lines = []
    for rows in by_key.values():
        cells = tuple(
            next((_cell(summary, column, row, runs) for row in rows if column.contains(row)), None)
            for column in columns
        )
        if any(cells):
            row = next(cell.row for cell in cells if cell)
            lines.append(Line(row.setting, _about(row), cells, _tags(cells)))
    return lines


def _cell(
    summary: Summary, column: SplitColumn, row: SettingRow, runs: Mapping[str, SummaryRow]
) -> Cell:
    winner = column.winner_of(summary)
    seeds = []
    for seed, run in zip(row.seeds, row.runs, strict=True):
        metric = runs[run].metrics.get(METRIC) if run in runs else None
        seeds.append(Seed(seed, run, metric.value if metric else None))
    is_selected = winner is not None and winner.run in row.runs
    return Cell(row, row.compared[METRIC], tuple(seeds), is_selected)


def _about(row: SettingRow) -> str:
    """Return the model and the annotations, unless the name of the setting contains them."""
    parts = [part for part in (row.model, row.annotations) if part and part not in row.setting]
    return ", ".join(parts)


def _tags(cells: Sequence[Cell | None]) -> tuple[tuple[str, str], ...]:
    rows = [cell.row for cell in cells if cell]
    found: dict[str, str] = {}
    for row in rows:
        classes = " or ".join(f"“{name}”" for name in dict.fromkeys(row.constant.values()))
        if row.is_constant:
            found[f"constant: every image {classes}"] = "bad"
        elif row.constant:
            found[f"{len(row.constant)} of {len(row.runs)} seeds constant"] = "bad"
        if row.skill == "at_chance" and not row.constant:
            found["not shown to be better than chance"] = "bad"
        if len(row.runs) < row.planned:
            found[f"{len(row.runs)} of {row.planned} runs"] = "warn"
    if any(row.annotations.endswith(SHAMS) for row in rows):
        found["control"] = "plain"
    return tuple((text, kind) for text, kind in found.items())


def value(line: Line, at: int) -> float:
    """Return the metric of a line in a column; minus infinity if it is undefined."""
    cell = line.cells[at]
    if cell is None or cell.value.value is None:
        return -math.inf
    return cell.value.value


def difference(line: Line, at: int) -> JudgedDifference | None:
    """Return the difference of a line from the selected setting of a column."""
    cell = line.cells[at]
    return cell.row.difference if cell else None
