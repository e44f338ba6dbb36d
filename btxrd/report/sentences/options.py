"""Sentences on the effect of an option, over all pairs of settings that differ in it alone."""

from btxrd.artifacts.evidence.verdicts import JudgedDifference, OptionContrast
from btxrd.artifacts.summary import Summary
from btxrd.report.generalisation import UNSEEN
from btxrd.report.sentences.finding import Statement
from btxrd.report.sentences.selected import chance_reason
from btxrd.report.sentences.wording import (
    MINUS,
    count,
    figure,
    flipped,
    format_difference,
    format_interval,
    in_words,
    interval_name,
    margin_of,
)


def option_sentences(summary: Summary) -> tuple[Statement, ...]:
    """Return a statement for each contrast, in the order of the summary."""
    return tuple(
        Statement(
            f"{one.option}: {one.one} {MINUS} {one.other}, {one.split}",
            option_sentence(one, summary),
        )
        for one in summary.options
    )


def option_sentence(contrast: OptionContrast, summary: Summary) -> str:
    """Return the sentences on the effect of an option.

    Nothing is concluded if a setting of a pair is not shown to be better than chance.
    """
    reason = _reason(contrast, summary)
    if reason:
        return f"Not assessed: {reason}."
    number, first = len(contrast.pairs), contrast.pairs[0]
    changed = contrast.pooled if number > 1 else first.difference
    peak = contrast.pooled_peak_inside if number > 1 else first.peak_inside
    if changed is None:
        return "Not assessed: the pairs were not pooled."
    text = f"{_of_auc(contrast, changed, margin_of(summary.margin))} {_of_pairs(contrast)}"
    return " ".join([text, *([] if peak is None else [_of_peak(peak)])])


def _reason(contrast: OptionContrast, summary: Summary) -> str | None:
    """Return which settings are not shown to be better than chance; None if all are."""
    names = {name for pair in contrast.pairs for name in (pair.one, pair.other)}
    poor = [
        row.setting
        for row in summary.settings
        if row.split == contrast.split and row.setting in names and chance_reason(row)
    ]
    if not poor:
        return None
    verb = "is" if len(poor) == 1 else "are"
    return f"{in_words(poor)} {verb} not shown to be better than chance"


def _of_auc(contrast: OptionContrast, changed: JudgedDifference, margin: str) -> str:
    name = f"{contrast.option}={contrast.one}"
    name = f"the control {name}" if contrast.is_control else name
    start = f"{name[0].upper()}{name[1:]}" if contrast.is_control else name
    place = "unseen" if contrast.strategy in UNSEEN else "seen"
    where = f"at {place} centers ({contrast.split})"
    against = f"compared with {contrast.option}={contrast.other}"
    if changed.value is None or changed.verdict == "not_tested":
        return f"Not tested: {name} {against} {where}."
    if changed.verdict in ("better", "worse"):
        verb = "raises" if changed.verdict == "better" else "lowers"
        size = _size(changed)
        small = f", by less than {margin}" if changed.within_margin else ""
        return f"{start} {verb} macro AUC by {size} {against} {where}{small}."
    shown = format_difference(changed, signed=True)
    if changed.verdict == "no_difference":
        return (
            f"{start} makes no difference above {margin} in macro AUC {against} {where}: {shown}."
        )
    text = f"Not enough data to tell whether {name} changes macro AUC {against} {where}: {shown}."
    if changed.detectable is not None:
        text += (
            f" A difference of {figure(changed.detectable)} would have been found with 80% power."
        )
    return text


def _size(changed: JudgedDifference) -> str:
    """Format an absolute difference with its interval."""
    one = changed if (changed.value or 0) >= 0 else flipped(changed)
    ends = format_interval(one)
    text = figure(one.value or 0)
    return text if ends is None else f"{text} ({interval_name(changed)}{ends})"


def _of_pairs(contrast: OptionContrast) -> str:
    number = len(contrast.pairs)
    contexts = [_named(pair.context) for pair in contrast.pairs if pair.context]
    of = f": {in_words(contexts)}" if contexts and number <= 4 else ""
    if number == 1:
        return f"This is one pair of settings{of}."
    return f"This is the mean over {count(number, 'pair')} of settings{of}."


def _named(context: str) -> str:
    """Return a context in which the value `none` has the name of its option."""
    parts = context.split(", ")
    return ", ".join("annotations=none" if part == "none" else part for part in parts)


def _of_peak(peak: JudgedDifference) -> str:
    """Return a sentence on the share of the tumours with the Grad-CAM maximum on the lesion."""
    if peak.value is None:
        return "The change in Grad-CAM is undefined."
    one = flipped(peak) if peak.value < 0 else peak
    points = count(round(100 * (one.value or 0)), "percentage point")
    ends = ""
    if one.low is not None and one.high is not None:
        low, high = (f"{round(100 * end)}".replace("-", MINUS) for end in (one.low, one.high))
        ends = f" ({interval_name(peak)}{low} to {high})"
    place = "the Grad-CAM maximum is on the lesion"
    more = "more" if peak.value >= 0 else "fewer"
    if peak.verdict in ("better", "worse"):
        return f"{place[0].upper()}{place[1:]} in {points}{ends} {more} of the test tumours."
    if peak.verdict == "no_difference":
        return (
            f"No difference above the margin in the share of tumours for which {place}: {points} "
            f"{more}{ends}."
        )
    if peak.verdict == "not_tested":
        return f"Not tested: the share of tumours for which {place}."
    return f"Not enough data to tell whether {place} more often: {points} {more}{ends}."
