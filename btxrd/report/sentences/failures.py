"""Sentences about the subgroups in which the selected setting is worse than in the rest."""

from collections.abc import Sequence

from btxrd.artifacts.evidence.verdicts import Subgroup
from btxrd.report.sentences.finding import Finding, IntervalPlot
from btxrd.report.sentences.selected import Selected, axis, mark, not_assessed
from btxrd.report.sentences.wording import count, figure, flipped, format_estimate, format_interval

KEY = "failures"


def find_failures(selected: Selected) -> Finding:
    """Judge the difference of each subgroup from the rest, by its Holm-adjusted p value.

    The plot shows the subgroup with the lowest difference, among those that are significantly worse
    if there are any. The text beside it names the subgroup.
    """
    found = selected.subgroups
    if not found:
        text = "no subgroups were computed"
        return not_assessed(KEY, "Not computed", f"Not computed: {text}.", text)
    few = [one for one in found if one.verdict == "too_few"]
    have = "has" if len(few) == 1 else "have"
    tested = [one for one in found if one.verdict != "too_few" and one.difference.value is not None]
    if not tested:
        text = f"{len(few)} of {len(found)} subgroups {have} too few images"
        return not_assessed(KEY, "Not enough data", f"{text} to tell.", text)
    lowest = min(tested, key=lambda one: one.difference.value or 0)
    worse = [one for one in tested if one.verdict == "worse"]
    rest = f" {len(few)} of {len(found)} {have} too few images to tell." if few else ""
    if worse:
        worst = min(worse, key=lambda one: one.difference.value or 0)
        sentence = f"{_of_worst(worst, worse, tested)}{rest}"
        plot = _plot(worst, selected)
        return Finding(KEY, "refuted", f"Worst: {name_of(worst)}", _beside(worst), sentence, plot)
    is_better = any(one.verdict == "better" for one in tested)
    differ, than = ("is significantly worse", "than") if is_better else (
        "differs significantly", "from"
    )  # fmt: skip
    short = f"Not enough data: {len(few)} of {len(found)}" if few else "None shown"
    plot = _plot(lowest, selected)
    beside = f"none of {len(tested)} {differ}; lowest: {name_of(lowest)}"
    sentence = f"None of {count(len(tested), 'subgroup')} {differ} {than} the rest.{rest}"
    return Finding(KEY, "unclear", short, beside, sentence, plot)


def _beside(worst: Subgroup) -> str:
    value, _, ends = format_estimate(flipped(worst.difference), interval="").partition(" ")
    return f"{value} lower {ends}".strip()


def name_of(subgroup: Subgroup) -> str:
    """Return the name of a subgroup after that of its family, unless both begin with one word."""
    if subgroup.name.split()[0] == subgroup.family.split()[0]:
        return subgroup.name
    return f"{subgroup.family} {subgroup.name}"


def _of_worst(worst: Subgroup, worse: Sequence[Subgroup], tested: Sequence[Subgroup]) -> str:
    metric = "macro AUC" if worst.metric == "macro_auc" else worst.metric
    ends = format_interval(flipped(worst.difference))
    interval = "" if ends is None else f" (unadjusted 95% CI {ends})"
    text = (
        f"Worst in {name_of(worst)}, with {count(worst.n, 'test image')}: {metric} is "
        f"{figure(-(worst.difference.value or 0))} lower than in the rest{interval}. "
    )
    if len(worse) > 1:
        return f"{text}{len(worse)} of {len(tested)} subgroups are significantly worse (Holm)."
    return f"{text}The difference is significant (Holm)."


def _plot(lowest: Subgroup, selected: Selected) -> IntervalPlot:
    one = mark(lowest.difference, selected.kind, name_of(lowest))
    return IntervalPlot(*axis([one], -0.1, 0.1, step=0.1), (one,), (("", 0.0),))
