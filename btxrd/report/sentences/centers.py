"""Sentences about the performance of the selected setting at unseen centers."""

from collections.abc import Sequence

from btxrd.artifacts.evidence.comparison import Gap, MetricGap, SettingRow
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary
from btxrd.report.sentences.finding import Finding, IntervalPlot, Mark, MarkKind, Verdict
from btxrd.report.sentences.selected import (
    CHANCE,
    Selected,
    axis,
    chance_reason,
    not_assessed,
    row_of,
)
from btxrd.report.sentences.wording import (
    figure,
    flipped,
    format_estimate,
    format_interval,
    margin_of,
)

KEY = "centers"
WORST_FIRST = ("loss", "not_enough_data", "no_loss", "gain")


def find_centers(selected: Selected) -> Finding:
    """Judge the generalisation gap in macro AUC; the worst one if there are several."""
    gaps = selected.gaps
    if not gaps:
        return not_assessed(KEY, "Not run", "Not run: add `split=stratified,center`.", "one split")
    judged = [
        gap for gap in gaps if gap.verdict != "not_assessed" and _metric(gap).gap.value is not None
    ]
    if not judged:
        reason = _reason(selected.summary, gaps[0])
        return not_assessed(KEY, "Not assessed", f"Not assessed: {reason}.", reason)
    worst = min(
        judged,
        key=lambda gap: (WORST_FIRST.index(gap.verdict), -(_metric(gap).gap.value or 0)),
    )
    verdict, short, beside = _verdict(worst, selected.summary.margin)
    sentence = _sentence(worst, selected.summary)
    if len(gaps) > 1:
        sentence += f" This is the worst of {len(gaps)} splits with unseen centers."
    return Finding(KEY, verdict, short, beside, sentence, _plot(worst, selected.summary))


def _metric(gap: Gap) -> MetricGap:
    return gap.metrics["macro_auc"]


def _reason(summary: Summary, gap: Gap) -> str:
    seen = row_of(summary, gap.runs[0])
    reason = None if seen is None else chance_reason(seen)
    return f"{reason} at seen centers" if reason else "macro AUC is undefined at some centers"


def _verdict(gap: Gap, margin: float) -> tuple[Verdict, str, str]:
    """Return the verdict, its short form, and the text beside it."""
    found = _metric(gap).gap
    lower, signed = (
        figure(abs(found.value or 0)),
        format_estimate(flipped(found), signed=True, interval=""),
    )
    shown = format_interval(found if gap.verdict == "loss" else flipped(found))
    if gap.verdict == "loss":
        return "refuted", f"No: {lower} lower", f"95% CI {shown}"
    if gap.verdict == "gain":
        return "supported", f"Yes: {lower} higher", f"95% CI {shown}"
    if gap.verdict == "no_loss":
        return "supported", f"No loss above {margin_of(margin)}", signed
    return "unclear", "Not enough data", signed


def _sentence(gap: Gap, summary: Summary) -> str:
    metric, margin = _metric(gap), margin_of(summary.margin)
    lower, signed = format_estimate(metric.gap), format_estimate(flipped(metric.gap), signed=True)
    text = {
        "loss": f"{_with_place(metric.gap, 'lower')}.",
        "gain": f"{_with_place(flipped(metric.gap), 'higher')}.",
        "no_loss": f"No loss above {margin} in macro AUC at unseen centers: the difference is "
        f"{signed}.",
        "not_enough_data": "Not enough data to tell whether macro AUC is lower at unseen centers: "
        f"the difference is {signed}"
        f"{'; a class has too few groups there' if _is_clear(metric.gap, summary.margin) else ''}.",
        "not_assessed": f"Not assessed: {lower}.",
    }[gap.verdict]
    seen, unseen = (row_of(summary, run) for run in gap.runs)
    if metric.seen is not None and metric.unseen is not None and seen and unseen:
        text += (
            f" It is {figure(metric.seen)} on {seen.split} and {figure(metric.unseen)} on "
            f"{unseen.split}."
        )
    if metric.class_balanced_gap.value is not None:
        balanced = format_estimate(flipped(metric.class_balanced_gap), signed=True)
        text += f" With equal class weights the difference is {balanced}."
    return text


def _is_clear(found: Estimate, margin: float) -> bool:
    """Return whether the interval alone would show a loss, a gain, or no loss above the margin."""
    if found.low is None or found.high is None:
        return False
    return found.low > 0 or found.high < margin


def _with_place(found: Estimate, direction: str) -> str:
    """Return the statement that macro AUC is lower or higher at unseen centers."""
    ends = format_interval(found)
    interval = "" if ends is None else f" (95% CI {ends})"
    return f"Macro AUC is {figure(found.value or 0)} {direction} at unseen centers{interval}"


def _plot(gap: Gap, summary: Summary) -> IntervalPlot | None:
    metric = _metric(gap)
    values: Sequence[tuple[str, MarkKind, float | None]] = (
        (gap.runs[0], "seen", metric.seen),
        (gap.runs[1], "unseen", metric.unseen),
    )
    marks = tuple(
        _mark(row_of(summary, run), kind, value) for run, kind, value in values if value is not None
    )
    if len(marks) < len(values):
        return None
    return IntervalPlot(*axis(marks, 0.4), marks, (("chance", CHANCE),))


def _mark(row: SettingRow | None, kind: MarkKind, value: float) -> Mark:
    """Return a mark for a side of the gap.

    It has the interval of the setting's macro AUC if that metric has the same value. It has not if
    the gap leaves out test cases from centers that have training cases.
    """
    own = None if row is None else row.metric("macro_auc")
    same = own is not None and own.value is not None and abs(own.value - value) < 1e-6
    low, high = (own.low, own.high) if own is not None and same else (None, None)
    return Mark(value, low, high, kind, label=f"{kind} centers")
