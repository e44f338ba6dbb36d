"""summary.json and summary.csv: the runs of a sweep, the winners and the comparisons."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from btxrd.artifacts import codec
from btxrd.artifacts.evidence.comparison import Gap, PairedComparison, SettingRow
from btxrd.artifacts.evidence.curves import CurveSet
from btxrd.artifacts.evidence.verdicts import OptionContrast, Reference, Subgroup, Unselected
from btxrd.artifacts.scores.estimates import Count, Estimates
from btxrd.runtime.files import write_text

SUMMARY_JSON, SUMMARY_CSV = "summary.json", "summary.csv"
ENDS = {"": "value", "_low": "low", "_high": "high"}  # endings of the three columns of a metric


@dataclass(frozen=True)
class SummaryRow:
    """A run: a row of summary.csv, and an item of `runs` in summary.json.

    On disk, each metric has three columns: `NAME`, `NAME_low` and `NAME_high`. They are in the
    place of the field `metrics`, and empty for a run without this metric.

    Attributes:
        run: Name of the run.
        state: State in status.json, or `missing` or `damaged`.
        experiment: Option of the config group `experiment`; None if none was chosen, or if it is
            not known.
        model: Backbone and attention layer.
        split: Title of the split.
        annotations: Title of the annotations.
        seed: Random seed.
        n_test: Number of test cases.
        metrics: Headline metrics of the test partition.
        seconds: Duration of all attempts.
        error: Reason why the run is not complete, or is not used; None otherwise.
        split_hash: Hash of split.csv.
        epochs: Number of epochs done.
        of_epochs: Number of epochs at most.
        seconds_left: Longest time in seconds that the run may still take; None unless it is
            running.
    """

    run: str
    state: str = "missing"
    experiment: str | None = None
    model: str | None = None
    split: str | None = None
    annotations: str | None = None
    seed: int | None = None
    n_test: Count | None = None
    metrics: Estimates = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None
    split_hash: str | None = None
    epochs: int | None = None
    of_epochs: int | None = None
    seconds_left: float | None = None

    def cells(self, metrics: Sequence[str]) -> codec.Content:
        """Return the cells of the row by column.

        Args:
            metrics: Names of the metrics that have columns. Cells are None if the run lacks one.
        """
        found: codec.Content = {}
        for item in fields(self):
            if item.name != "metrics":
                found[item.name] = getattr(self, item.name)
                continue
            for name in metrics:
                one = self.metrics.get(name)
                for ending, end in ENDS.items():
                    found[name + ending] = None if one is None else getattr(one, end)
        return found


@dataclass(frozen=True)
class Winner:
    """The setting that was selected on val among those of one split.

    Attributes:
        split: Title of the split.
        split_hash: Hash of split.csv.
        setting: Name of the setting.
        run: Name of its run that is best on val.
        focus: Class of `val_focus_sensitivity`, whose key on disk has the name of the class.
        val_macro_auc: Macro AUC on val, as the mean over the seeds.
        val_focus_sensitivity: Sensitivity for the focus class on val, as the mean over the seeds.
        of: Number of settings that it was selected from.
        unranked: Names of the settings of the split that lack a metric on val.
    """

    split: str
    split_hash: str
    setting: str
    run: str
    focus: str
    val_macro_auc: float
    val_focus_sensitivity: float
    of: int
    unranked: tuple[str, ...]


@dataclass(frozen=True)
class Summary(codec.Artifact):
    """Content of summary.json. btxrd writes it and never reads it, so older formats need no reader.

    Attributes:
        synthetic: Warning about synthetic radiographs among the data; None if there are none.
        margin: Smallest difference in macro AUC that matters.
        rebuild: Command that writes this summary again.
        commands: Arguments that the sweeps were started with.
        selection_rule: Rule by which the winners were selected; empty if no run was scored.
        metrics: Names of the headline metrics, in the order of the columns of summary.csv.
        winners: The selected setting of each split that has one.
        settings: Metrics of each setting on each split, ordered by test set and by macro AUC on
            val.
        comparisons: Paired tests of every two settings on the same test cases.
        generalisation_gap: Differences between each setting on the stratified split and the same
            setting on a split with unseen centers.
        at_once: Number of parallel runs.
        runs: The runs, in the order of the plan.
        unselected: The splits without a winner.
        options: Effects of the options.
        references: Models without pixels, by split.
        subgroups: Subgroups of the test cases of the selected settings.
        curves: Data of the charts, by test set.
    """

    FORMAT: ClassVar[int] = 3

    synthetic: str | None
    margin: float
    rebuild: str
    commands: tuple[str, ...]
    selection_rule: str
    metrics: tuple[str, ...]
    winners: tuple[Winner, ...]
    settings: tuple[SettingRow, ...]
    comparisons: tuple[PairedComparison, ...]
    generalisation_gap: tuple[Gap, ...]
    at_once: int
    runs: tuple[SummaryRow, ...]
    unselected: tuple[Unselected, ...] = ()
    options: tuple[OptionContrast, ...] = ()
    references: tuple[Reference, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()
    curves: tuple[CurveSet, ...] = ()

    def as_content(self) -> codec.Content:
        """Return the content of the file."""
        content: codec.Content = msgspec.to_builtins(self)
        for winner in content["winners"]:
            winner[f"val_{winner['focus']}_sensitivity"] = winner.pop("val_focus_sensitivity")
        content["settings"] = [setting.as_content() for setting in self.settings]
        content["comparisons"] = [
            _without(pair, "differences") | pair["differences"] for pair in content["comparisons"]
        ]
        content["generalisation_gap"] = [
            _without(gap, "metrics") | gap["metrics"] for gap in content["generalisation_gap"]
        ]
        return content | {"runs": [row.cells(self.metrics) for row in self.runs]}


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json and summary.csv.

    Args:
        folder: Folder to write into.
        summary: Content of summary.json.
    """
    codec.write(folder / SUMMARY_JSON, summary)
    text = io.StringIO()
    columns = list(SummaryRow("").cells(summary.metrics))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells(summary.metrics) for row in summary.runs)
    write_text(folder / SUMMARY_CSV, text.getvalue())
