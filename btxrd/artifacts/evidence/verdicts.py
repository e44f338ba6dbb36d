"""The parts of summary.json that its verdicts rest on."""

from dataclasses import dataclass
from typing import Literal

from btxrd.artifacts.metrics import Count, Estimate

DifferenceVerdict = Literal["better", "worse", "no_difference", "not_enough_data", "not_tested"]
GapVerdict = Literal["loss", "gain", "no_loss", "not_enough_data", "not_assessed"]
SubgroupVerdict = Literal["worse", "better", "not_significant", "too_few"]
Skill = Literal["above_chance", "at_chance", "not_known"]
UnselectedReason = Literal["at_chance", "too_few", "constant", "no_val"]


@dataclass(frozen=True)
class JudgedDifference(Estimate):
    """A difference in macro AUC with a simultaneous 95% interval, and what it shows.

    The interval and the verdict are one statement: `better` and `worse` mean that the interval
    excludes 0, `no_difference` that it holds 0 and lies within the margin.

    Attributes:
        verdict: `not_tested` if the groups are too few or the metric is undefined.
        within_margin: Whether the whole interval lies within the margin.
        detectable: Difference that would have been found with 80% power; None if not tested.
        tests: Number of differences that the interval holds for together.
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
        context: What both have in common, such as the backbone, in a few words.
        difference: Macro AUC of `one` minus that of `other`.
        peak_inside: Likewise, share of the test tumours with the Grad-CAM peak on the lesion; None
            if it was not computed.
    """

    one: str
    other: str
    context: str
    difference: JudgedDifference
    peak_inside: JudgedDifference | None


@dataclass(frozen=True)
class OptionContrast:
    """What one option changes on one split, over all pairs of settings that differ in it alone.

    Attributes:
        option: Config group or key, such as `annotations` or `training.lr`.
        one: Value whose settings are compared.
        other: Value that they are compared with.
        split: Title of the split.
        strategy: Of the split.
        is_control: Whether `one` is a sham.
        pairs: At least one.
        pooled: Mean difference of several pairs; None for one pair.
        pooled_peak_inside: Likewise, of Grad-CAM.
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
        name: Of the variant in shortcuts.csv.
        macro_auc: Its own.
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
        family: What the subgroups of one family divide, such as `center`.
        name: Of the subgroup.
        metric: What is compared: `macro_auc` or `accuracy`.
        n: Number of cases.
        groups: Number of groups among them.
        value: The metric of the subgroup.
        difference: The metric of the subgroup minus that of the rest.
        p_holm: Adjusted for all subgroups of the split; None if too few.
        verdict: What the difference shows.
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
        strategy: Of the split.
        reason: Of the setting that is best on val: `at_chance` if it is not better than chance on
            test; `too_few` if test has too few groups to tell; `constant` if it predicts one class
            only. `no_val` if no setting has a val partition of its own with a val metric.
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
