"""In which subgroup is the selected setting worse than in the rest?"""

from collections.abc import Sequence

from btxrd.artifacts.evidence.verdicts import Subgroup
from btxrd.report.sentences.finding import Finding, IntervalPlot
from btxrd.report.sentences.selected import Selected, axis, mark, not_assessed
from btxrd.report.sentences.wording import figure, flipped, format_estimate, format_interval

KEY = "failures"


def find_failures(selected: Selected) -> Finding:
    """Conclude from the differences between subgroups and the rest, Holm-adjusted."""
    found = selected.subgroups
    if not found:
        text = "no subgroups were computed"
        return not_assessed(KEY, "Not computed", f"Not computed: {text}.", text)
    few = [one for one in found if one.verdict == "too_few"]
    have = "has" if len(few) == 1 else "have"
    tested = [one for one in found if one.verdict != "too_few" and one.difference.value is not None]
    if not tested:
        text = f"{len(few)} of {len(found)} {have} too few images"
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
    differ = "is significantly worse" if is_better else "differs significantly"
    none = f"one of {len(tested)} {differ}"
    short = f"Not enough data: {len(few)} of {len(found)}" if few else "None shown"
    plot = _plot(lowest, selected)
    return Finding(KEY, "unclear", short, f"n{none}", f"N{none}.{rest}", plot)


def _beside(worst: Subgroup) -> str:
    value, _, ends = format_estimate(flipped(worst.difference), interval="").partition(" ")
    return f"{value} lower {ends}".strip()


def name_of(subgroup: Subgroup) -> str:
    """Name a subgroup with its family, unless its name begins likewise."""
    if subgroup.name.split()[0] == subgroup.family.split()[0]:
        return subgroup.name
    return f"{subgroup.family} {subgroup.name}"


def _of_worst(worst: Subgroup, worse: Sequence[Subgroup], tested: Sequence[Subgroup]) -> str:
    metric = "macro AUC" if worst.metric == "macro_auc" else worst.metric
    ends = format_interval(flipped(worst.difference))
    interval = "" if ends is None else f" (95% CI {ends})"
    text = (
        f"Worst in {name_of(worst)}: {metric} is {figure(-(worst.difference.value or 0))} lower "
        f"than in the rest{interval}, Holm-adjusted, on {worst.n:g} test images."
    )
    if len(worse) > 1:
        text += f" {len(worse)} of {len(tested)} subgroups are significantly worse."
    return text


def _plot(lowest: Subgroup, selected: Selected) -> IntervalPlot:
    one = mark(lowest.difference, selected.kind, name_of(lowest))
    return IntervalPlot(*axis([one], -0.1, 0.1, step=0.1), (one,), (("", 0.0),))
