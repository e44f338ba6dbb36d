"""The parts of summary.json with verdicts: differences, options, subgroups and splits."""

from dataclasses import dataclass
from typing import Literal

from btxrd.artifacts.scores.estimates import Count, Estimate

DifferenceVerdict = Literal["better", "worse", "no_difference", "not_enough_data", "not_tested"]
GapVerdict = Literal["loss", "gain", "no_loss", "not_enough_data", "not_assessed"]
SubgroupVerdict = Literal["worse", "better", "not_significant", "too_few"]
Skill = Literal["above_chance", "at_chance", "not_known"]
UnselectedReason = Literal["at_chance", "too_few", "constant", "no_val"]


@dataclass(frozen=True)
class JudgedDifference(Estimate):
    """A difference in macro AUC with a simultaneous 95% confidence interval and a verdict.

    The verdict follows from the interval: `better` and `worse` mean that the interval excludes 0,
    and `no_difference` means that it includes 0 and is within the margin.

    Attributes:
        verdict: `not_tested` if the groups are too few or the metric is undefined.
        within_margin: Whether the whole interval lies within the margin.
        detectable: Difference that would have been found with 80% power; None if not tested.
        tests: Number of differences whose intervals hold simultaneously.
    """

    verdict: DifferenceVerdict
    within_margin: bool
    detectable: float | None
    tests: int


@dataclass(frozen=True)
class OptionPair:
    """Two settings of one split that differ in one option only.

    Attributes:
        one: Name of the setting with the value `OptionContrast.one`.
        other: Name of the setting with the value `OptionContrast.other`.
        context: Values that both settings share, such as the backbone.
        difference: Macro AUC of `one` minus that of `other`.
        peak_inside: Difference in the share of the test tumours with the Grad-CAM maximum on the
            lesion; None if it was not computed.
    """

    one: str
    other: str
    context: str
    difference: JudgedDifference
    peak_inside: JudgedDifference | None


@dataclass(frozen=True)
class OptionContrast:
    """The effect of an option on one split, over all pairs of settings that differ in it alone.

    Attributes:
        option: Config group or key, such as `annotations` or `training.lr`.
        one: Value of the option in the first setting of each pair.
        other: Value of the option in the second setting of each pair.
        split: Title of the split.
        strategy: Strategy of the split.
        is_control: Whether `one` is a control, with sham outlines.
        pairs: The pairs of settings, at least one.
        pooled: Mean difference in macro AUC over several pairs; None for one pair.
        pooled_peak_inside: Mean difference in `peak_inside` over several pairs; None for one pair.
    """

    option: str
    one: str
    other: str
    split: str
    strategy: str
    is_control: bool
    pairs: tuple[OptionPair, ...]
    pooled: JudgedDifference | None
    pooled_peak_inside: JudgedDifference | None


@dataclass(frozen=True)
class Reference:
    """A model without pixels, on the test cases of a split that can be masked.

    Attributes:
        split: Title of the split.
        split_hash: Hash of split.csv.
        name: Name of the variant in shortcuts.csv.
        macro_auc: Macro AUC of the model.
    """

    split: str
    split_hash: str
    name: str
    macro_auc: Estimate


@dataclass(frozen=True)
class Subgroup:
    """Test cases of the selected setting of a split that have something in common.

    Attributes:
        split: Title of the split.
        split_hash: Hash of split.csv.
        family: Property that defines the subgroup, such as `center`.
        name: Name of the subgroup.
        metric: Metric that is compared: `macro_auc` or `accuracy`.
        n: Number of cases.
        groups: Number of groups among them.
        value: The metric of the subgroup.
        difference: The metric of the subgroup minus that of the rest.
        p_holm: p value, Holm-adjusted for all subgroups of the split; None for too few groups.
        verdict: Conclusion from the difference.
    """

    split: str
    split_hash: str
    family: str
    name: str
    metric: str
    n: Count
    groups: int
    value: Estimate
    difference: Estimate
    p_holm: float | None
    verdict: SubgroupVerdict


@dataclass(frozen=True)
class Unselected:
    """A split without a winner.

    Attributes:
        split: Title of the split.
        split_hash: Hash of split.csv.
        strategy: Strategy of the split.
        reason: Reason why the setting that is best on val is not selected: `at_chance` if it is not
            better than chance on test; `too_few` if test has too few groups to tell; `constant` if
            it predicts one class only. `no_val` if no setting has a metric on a separate validation
            partition.
        setting: Name of the setting that is best on val, if there is one.
        best: Highest macro AUC on test of all settings, with its interval.
        of: Number of settings.
    """

    split: str
    split_hash: str
    strategy: str
    reason: UnselectedReason
    setting: str | None
    best: Estimate
    of: int
