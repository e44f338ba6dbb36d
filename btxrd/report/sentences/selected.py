"""The selected setting of a split, and the parts of a summary that are about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

from btxrd.artifacts.evidence.comparison import Gap, SettingRow
from btxrd.artifacts.evidence.verdicts import Reference, Subgroup
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary, Winner
from btxrd.report.generalisation import UNSEEN
from btxrd.report.sentences.finding import Finding, Mark, MarkKind

CHANCE = 0.5  # macro AUC
SMALLEST = 1e-9  # tolerance in steps, so that a rounding error does not add a step to an axis


@dataclass(frozen=True)
class Selected:
    """The selected setting of a split.

    Attributes:
        summary: Content of summary.json.
        winner: Result of the selection on the split.
        row: Metrics of the selected setting.
    """

    summary: Summary
    winner: Winner
    row: SettingRow

    @cached_property
    def others(self) -> tuple[SettingRow, ...]:
        """The other settings on the same split."""
        return tuple(
            row
            for row in self.summary.settings
            if row is not self.row
            and (row.split_hash, row.split) == (self.row.split_hash, self.row.split)
            and row.class_names == self.row.class_names
        )

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps between seen and unseen centers that a run of the setting is part of."""
        mine = set(self.row.runs)
        return tuple(gap for gap in self.summary.generalisation_gap if mine & set(gap.runs))

    @property
    def references(self) -> tuple[Reference, ...]:
        """The models without pixels on its split."""
        return tuple(
            one for one in self.summary.references if one.split_hash == self.winner.split_hash
        )

    @property
    def subgroups(self) -> tuple[Subgroup, ...]:
        """Subgroups of its test cases."""
        return tuple(
            one for one in self.summary.subgroups if one.split_hash == self.winner.split_hash
        )

    @property
    def is_unseen(self) -> bool:
        """Whether its test cases are from centers without training cases."""
        return self.row.strategy in UNSEEN

    @property
    def kind(self) -> MarkKind:
        """Kind of its marks in plots."""
        return kind_of(self.row)

    @property
    def about(self) -> str:
        """Name of the setting, and title of its split."""
        return f"{self.row.setting}, {self.row.split}"


def kind_of(row: SettingRow) -> MarkKind:
    """Return the kind of the marks of a setting in plots."""
    return "unseen" if row.strategy in UNSEEN else "seen"


def selected_settings(summary: Summary) -> list[Selected]:
    """Return the selected setting of each split that has one."""
    rows = {run: row for row in summary.settings for run in row.runs}
    return [Selected(summary, winner, rows[winner.run]) for winner in summary.winners]


def row_of(summary: Summary, run: str) -> SettingRow | None:
    """Return the setting that a run belongs to; None if the run is not scored."""
    return next((row for row in summary.settings if run in row.runs), None)


def chance_reason(row: SettingRow) -> str | None:
    """Return why nothing is concluded about a setting; None if it is better than chance."""
    if row.is_constant:
        return "it is a constant predictor"
    auc = row.metric("macro_auc")
    if row.skill == "not_known" and (auc is None or auc.value is None):
        return "macro AUC is undefined on test"
    return {
        "above_chance": None,
        "at_chance": "it is not shown to be better than chance",
        "not_known": "there are too few test images to tell whether it is better than chance",
    }[row.skill]


def not_assessed(key: str, short: str, sentence: str, beside: str = "") -> Finding:
    """Return a finding without a verdict, whose texts give the reason."""
    return Finding(key, "not_assessed", short, beside, sentence, None)


def mark(found: Estimate, kind: MarkKind, label: str = "", *, is_hollow: bool = False) -> Mark:
    """Return the mark of a metric in a plot.

    Raises:
        ValueError: If the metric has no value.
    """
    if found.value is None:
        raise ValueError("a metric without a value has no mark")
    return Mark(found.value, found.low, found.high, kind, is_hollow, label)


def axis(marks: Iterable[Mark], *further: float, step: float = 0.05) -> tuple[float, float]:
    """Return the ends of an axis that includes all marks and further values.

    Args:
        marks: Marks with their intervals.
        further: Other values that the axis includes.
        step: Distance of which both ends are multiples.
    """
    values = list(further)
    for one in marks:
        values += [value for value in (one.value, one.low, one.high) if value is not None]
    start, end = floor(min(values) / step + SMALLEST), ceil(max(values) / step - SMALLEST)
    return round(start * step, 6), round(max(end, start + 1) * step, 6)
