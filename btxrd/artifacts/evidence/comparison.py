"""The parts of summary.json about settings: their metrics, comparisons and generalisation gaps."""

from dataclasses import dataclass

import msgspec

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.evidence.verdicts import GapVerdict, JudgedDifference, Skill
from btxrd.artifacts.metrics import spread
from btxrd.artifacts.scores.clinical import Clinical
from btxrd.artifacts.scores.estimates import (
    UNDEFINED,
    CenterMetrics,
    ClassMetrics,
    Count,
    Estimate,
    Estimates,
)
from btxrd.artifacts.scores.localisation import Localisation, VariantMetrics


@dataclass(frozen=True)
class SettingEstimate(Estimate):
    """A metric that settings are compared by: the mean over the seeds.

    Attributes:
        sd: Standard deviation over the seeds; None for one seed.
        set: Letters of the compact letter display. Two settings with the same test set that
            share a letter are not significantly different.
    """

    sd: float | None = None
    set: str = ""


@dataclass(frozen=True)
class SettingRow:
    """A setting: runs that differ in the seed alone. Its metrics are means over the seeds.

    On disk, the metrics are keys of the setting itself, and so are those of a class or center.

    Attributes:
        split: Title of the split.
        experiment: Option of the config group `experiment`; None if none was chosen.
        model: Backbone and attention layer.
        annotations: Title of the annotations.
        setting: Name of the setting.
        strategy: Strategy of the split.
        seeds: Seeds of its runs.
        runs: Names of its runs.
        n_test: Number of test cases.
        classes: Class names in the order of the labels.
        focus: Class of the operating point and of the missed cases.
        background: Class without a lesion; None if every class has one.
        val_macro_auc: Macro AUC on val; None if it takes no part in the selection.
        compared: Metrics that settings are compared by, of the test partition.
        values: The other headline metrics, by name. Runs of an older version lack newer metrics.
        per_class: Metrics of each class against the others, by class name.
        per_center: Metrics of each center, by center.
        confusion: Number of cases; rows are true classes, columns are predicted ones.
        clinical: Calibration and operating point; None if val is test.
        gradcam: Grad-CAM localisation by subset of the test tumours.
        lesion_maps: Localisation of the lesion maps of the model, by subset; None without such
            maps.
        shortcuts: Metrics on masked images and of baselines without pixel input, by variant.
        ensemble: Metrics of the seeds' mean probabilities; None for one seed.
        key: Hash that is equal for settings that differ in the split alone.
        split_hash: Hash of split.csv.
        planned: Number of runs that were planned for the setting.
        skill: `above_chance` if the interval of macro AUC on test is above 0.5 or the value is 1,
            otherwise `at_chance`; `not_known` if there are too few groups to tell.
        constant: Class that a run predicts for all test cases, by the name of the run; without the
            runs that predict several classes.
        difference: Macro AUC minus that of the selected setting; None for the selected setting, and
            if none was selected.
        calibration_slope: Slope of the log probabilities on test, 1 if they are calibrated and
            below 1 if they are too confident.
        n_val: Number of validation cases; None if they are the test cases.
    """

    split: str
    experiment: str | None
    model: str
    annotations: str
    setting: str
    strategy: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    n_test: Count
    classes: tuple[str, ...]
    focus: str
    background: str | None
    val_macro_auc: float | None
    compared: dict[str, SettingEstimate]
    values: Estimates
    per_class: dict[str, ClassMetrics]
    per_center: dict[str, CenterMetrics]
    confusion: list[list[Count]]
    clinical: Clinical | None
    gradcam: dict[str, Localisation]
    lesion_maps: dict[str, Localisation] | None
    shortcuts: dict[str, VariantMetrics]
    ensemble: Estimates | None
    key: str
    split_hash: str
    planned: int
    skill: Skill
    constant: dict[str, str]
    difference: JudgedDifference | None = None
    calibration_slope: Estimate = UNDEFINED
    n_val: Count | None = None

    @property
    def class_names(self) -> ClassNames:
        """The classes that the metrics are about."""
        return ClassNames(self.classes, self.focus, self.background)

    @property
    def is_constant(self) -> bool:
        """Whether each of its runs predicts one class only."""
        return len(self.constant) == len(self.runs)

    def metric(self, name: str) -> Estimate | None:
        """Return a headline metric; None if the runs do not have it."""
        return self.compared.get(name) or self.values.get(name)

    def as_content(self) -> codec.Content:
        """Return the content of the object on disk."""
        content: codec.Content = msgspec.to_builtins(self)
        content["values"] = content.pop("compared") | content["values"]
        found = spread(content | {"n": self.n_test})
        del found["n"]
        return found


@dataclass(frozen=True)
class ClassDifference:
    """Difference in the AUC of one class; see `Difference`.

    Attributes:
        value: Difference in AUC; None if it is undefined.
        p: p value with groups as units; None for too few groups.
        p_cases: p value that treats each case as independent.
    """

    value: float | None
    p: float | None
    p_cases: float | None


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test on cases.

    Attributes:
        only_one: Number of cases that only the first setting predicts correctly.
        only_other: Number of cases that only the second setting predicts correctly.
        p: Exact p-value.
    """

    only_one: int
    only_other: int
    p: float


@dataclass(frozen=True)
class Difference(Estimate):
    """A metric of one setting minus that of the other.

    Attributes:
        p: p value with groups as units. It includes the variance between seeds if some setting has
            several seeds. None if the difference was not tested.
        p_cases: p value that treats each case as independent, without the variance between seeds.
        p_holm: `p`, Holm-adjusted for all pairs of the summary.
        significant: Whether `p_holm` is below 0.05.
        seed_sd: Standard deviation of the difference due to seeds alone; None if no setting of
            the test set has several seeds.
        seed_share: Share of the variance of the difference that is due to seeds.
        per_class: Differences in the AUC of each class; None except for macro AUC.
        mcnemar: McNemar's test; None except for the accuracy of two settings with one seed each.
    """

    p: float | None
    p_cases: float | None
    p_holm: float | None
    significant: bool
    seed_sd: float | None
    seed_share: float | None
    per_class: dict[str, ClassDifference] | None = None
    mcnemar: McNemar | None = None


@dataclass(frozen=True)
class PairedComparison:
    """Two settings on the same test cases.

    Attributes:
        split: Title of the split; the titles of both splits if they differ.
        one: Name of the first setting.
        other: Name of the second setting.
        runs: Name of the first run of each setting.
        n: Number of test cases.
        groups: Number of groups among them.
        seeds: Number of seeds of each setting.
        differences: Differences by metric. On disk, the metrics are keys of the comparison itself.
    """

    split: str
    one: str
    other: str
    runs: tuple[str, str]
    n: int
    groups: int
    seeds: tuple[int, int]
    differences: dict[str, Difference]


@dataclass(frozen=True)
class MetricGap:
    """A metric at centers seen in training and at unseen ones.

    Attributes:
        seen: The metric on the test partition of the stratified split.
        unseen: The metric at the centers without training cases.
        gap: `seen` minus `unseen`.
        class_balanced_gap: The gap with equal class weights on both sides.
        prior_shift: `gap` minus `class_balanced_gap`: the effect of different class frequencies. It
            can be negative.
    """

    seen: float | None
    unseen: float | None
    gap: Estimate
    class_balanced_gap: Estimate
    prior_shift: Estimate


@dataclass(frozen=True)
class Gap:
    """Two settings that differ in the split alone.

    Attributes:
        setting: Name of the setting on the stratified split.
        split: Title of the split with unseen centers.
        seeds: Seeds of both settings, that on the stratified split first.
        runs: Name of the first run of each setting.
        metrics: Gaps by metric. On disk, the metrics are keys of the gap itself.
        verdict: Conclusion from the gap in macro AUC.
    """

    setting: str
    split: str
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    runs: tuple[str, str]
    metrics: dict[str, MetricGap]
    verdict: GapVerdict = "not_assessed"
