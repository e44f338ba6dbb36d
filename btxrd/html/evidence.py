"""Content of the sections on errors, on operating points and on maps."""

from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.verdicts import Subgroup
from btxrd.artifacts.scores.estimates import Count, Estimate
from btxrd.artifacts.scores.localisation import Localisation, MapScore
from btxrd.artifacts.summary import Summary
from btxrd.html.axes import Axis, axis_over, ends
from btxrd.html.gallery import Shown
from btxrd.html.splits import SplitColumn
from btxrd.report.sentences.findings import MarkKind

UNIT = Axis(0, 1, (0, 0.25, 0.5, 0.75, 1))
PARTS = {"all": "all", "right": "predicted right", "wrong": "predicted wrong"}
VARIANTS = {
    "unmodified": "unmodified",
    "lesion_masked": "lesion masked",
    "all_but_lesion_masked": "all but the lesion masked",
    "border_masked": "border masked",
}


@dataclass(frozen=True)
class Row:
    """A setting on a split.

    Attributes:
        row: Metrics of the setting.
        split: Label of the split on the page.
        kind: Kind of its marks in plots.
        is_shown: Whether it is the selected setting; if none was selected, the best one on val.
    """

    row: SettingRow
    split: str
    kind: MarkKind
    is_shown: bool


def rows_of(summary: Summary, columns: Sequence[SplitColumn]) -> list[Row]:
    """Return each setting on each split; the setting whose details are shown comes first."""
    found = []
    for column in columns:
        rows = [row for row in summary.settings if column.contains(row)]
        winner = column.winner_of(summary)
        names = [row.setting for row in rows]
        first = names.index(winner.setting) if winner and winner.setting in names else 0
        ranked = [rows[first], *rows[:first], *rows[first + 1 :]]
        found += [Row(row, column.label, column.kind, row is rows[first]) for row in ranked]
    return found


def shown_runs(summary: Summary, rows: Sequence[Row]) -> list[Shown]:
    """Return the run of each split whose images are shown.

    It is the best seed of the selected setting on val. If no setting was selected, it is the first
    run of the best setting.
    """
    best = {winner.run for winner in summary.winners}
    return [
        Shown(
            next((run for run in one.row.runs if run in best), one.row.runs[0]),
            one.row.setting,
            one.split,
        )
        for one in rows
        if one.is_shown
    ]


@dataclass(frozen=True)
class Subgroups:
    """The subgroups of the test cases of a split.

    Attributes:
        split: Label of the split on the page.
        kind: Kind of the marks in plots.
        axis: Axis of the differences.
        families: Subgroups by the property that defines them and the metric that is compared.
        too_few: Number of subgroups with too few groups for a test.
    """

    split: str
    kind: MarkKind
    axis: Axis
    families: dict[str, list[Subgroup]]
    too_few: int


def subgroups_of(summary: Summary, columns: Sequence[SplitColumn]) -> list[Subgroups]:
    """Return the subgroups of each split that has subgroups."""
    found = []
    for column in columns:
        of_split = [
            one
            for one in summary.subgroups
            if (one.split, one.split_hash) == (column.split, column.split_hash)
        ]
        if not of_split:
            continue
        families: dict[str, list[Subgroup]] = {}
        for one in of_split:
            metric = one.metric.replace("_", " ").replace("auc", "AUC")
            families.setdefault(f"{one.family.replace('_', ' ')}, {metric}", []).append(one)
        known = [one.difference for one in of_split if one.verdict != "too_few"]
        found.append(
            Subgroups(
                column.label,
                column.kind,
                axis_over([0, *ends(known)]),
                families,
                sum(one.verdict == "too_few" for one in of_split),
            )
        )
    return found


@dataclass(frozen=True)
class Point:
    """The operating point of a setting on a split.

    Attributes:
        of: The setting.
        threshold: Smallest probability of the focus class that counts as positive.
        asked: Target sensitivity on val.
        sensitivity: Sensitivity on test.
        specificity: Specificity on test.
        prevalence: Share of the focus class in test.
        missed: Number of cases of the focus class that are predicted as background, as text; empty
            if it is not known.
    """

    of: Row
    threshold: float
    asked: float
    sensitivity: Estimate
    specificity: Estimate
    prevalence: float
    missed: str

    @property
    def ppv(self) -> float | None:
        """Positive predictive value at the prevalence in test; None if it is undefined."""
        values = self._values()
        return None if values is None else _share(values[0], values[1])

    @property
    def npv(self) -> float | None:
        """Negative predictive value at the prevalence in test; None if it is undefined."""
        values = self._values()
        return None if values is None else _share(values[3], values[2])

    def _values(self) -> tuple[float, float, float, float] | None:
        """Return the shares of true and false positives, and of false and true negatives."""
        found, spared, share = self.sensitivity.value, self.specificity.value, self.prevalence
        if found is None or spared is None:
            return None
        return (
            found * share, (1 - spared) * (1 - share), (1 - found) * share, spared * (1 - share),
        )  # fmt: skip


def _share(part: float, other: float) -> float | None:
    return part / (part + other) if part + other > 0 else None


def points_of(rows: Sequence[Row]) -> list[Point]:
    """Return the operating points of the settings; without those that predict one class only."""
    found = []
    for one in rows:
        row, point = one.row, one.row.clinical.operating_point if one.row.clinical else None
        if point is None or row.is_constant:
            continue
        support = row.per_class[row.focus].support
        found.append(
            Point(
                one,
                point.threshold,
                point.val_sensitivity_asked,
                point.test.sensitivity,
                point.test.specificity,
                support / max(row.n_test, 1),
                _missed(row, support),
            )
        )
    return found


def _missed(row: SettingRow, support: Count) -> str:
    """Return the number of cases of the focus class that are predicted as background, as text."""
    rate = row.metric(f"{row.focus}_predicted_{row.background}")
    if rate is None or rate.value is None:
        return ""
    text = f"{rate.value * support:.1f}".removesuffix(".0") + f" of {support:g}"
    if rate.low is None or rate.high is None or rate.low == rate.high:
        return text
    return f"{text} ({rate.low:.1%} to {rate.high:.1%})"


@dataclass(frozen=True)
class MapPart:
    """Localisation scores of the maps of a subset of the tumours.

    Attributes:
        name: Name of the subset.
        found: All scores.
    """

    name: str
    found: Localisation

    @property
    def peak(self) -> MapScore:
        """Share of the maps with their maximum on the lesion."""
        return self.found.peak_inside


def parts_of(found: dict[str, Localisation] | None) -> dict[str, list[MapPart]]:
    """Return the subsets of the tumours, by the property that defines them."""
    families: dict[str, list[MapPart]] = {}
    for name, one in (found or {}).items():
        if name == "all":
            family = ""
        elif name in PARTS:
            family = "Outcome"
        elif name.startswith("lesion "):
            family, name = "Lesion size, of the image", name.removeprefix("lesion ")
        elif name.startswith("center "):
            family = "Center"
        else:
            family = "Class"
        families.setdefault(family, []).append(MapPart(PARTS.get(name, name), one))
    families.get("Center", []).sort(key=lambda part: part.name)
    return families
