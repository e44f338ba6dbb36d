"""Format metrics, numbers and names for the sentences of the report."""

from collections.abc import Sequence

from btxrd.artifacts.evidence.verdicts import JudgedDifference
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.pages import percent as percent

MINUS = "−"  # the minus sign, not a hyphen
NOT_KNOWN = "not known"


def figure(value: float, *, signed: bool = False) -> str:
    """Format a number with three decimals, or with four if three would show 0."""
    text = f"{abs(value):.4f}" if abs(value) < 0.0005 else f"{abs(value):.3f}"
    if float(text) == 0:
        text = "0.000"
    is_zero = float(text) == 0
    sign = "" if is_zero else MINUS if value < 0 else "+" if signed else ""
    return sign + text


def format_estimate(
    found: Estimate | None,
    *,
    as_percent: bool = False,
    signed: bool = False,
    against: float | None = None,
    interval: str = "95% CI ",
) -> str:
    """Format a metric with its confidence interval.

    Args:
        found: The metric; "not known" if it has no value.
        as_percent: Whether the metric is a share, which is written as a percentage.
        signed: Whether a value above 0 has a plus sign.
        against: Share that the sentence compares it with; see `btxrd.pages.percent`.
        interval: Text before the ends in the parentheses.
    """
    if found is None or found.value is None:
        return NOT_KNOWN
    value = _shown(found.value, as_percent, against, signed)
    ends = format_interval(found, as_percent=as_percent, against=against)
    return value if ends is None else f"{value} ({interval}{ends})"


def format_interval(
    found: Estimate, *, as_percent: bool = False, against: float | None = None
) -> str | None:
    """Format the ends of a confidence interval; None if there are none."""
    if found.low is None or found.high is None:
        return None
    low, high = (_shown(end, as_percent, against, False) for end in (found.low, found.high))
    return f"{low} to {high}"


def _shown(value: float, is_share: bool, against: float | None, signed: bool) -> str:
    return percent(value, against=against) if is_share else figure(value, signed=signed)


def interval_name(difference: JudgedDifference) -> str:
    """Return the name of the interval of a difference, which is simultaneous for several tests."""
    return "simultaneous 95% CI " if difference.tests > 1 else "95% CI "


def format_difference(difference: JudgedDifference, *, signed: bool = False) -> str:
    """Format a tested difference with its interval."""
    return format_estimate(difference, signed=signed, interval=interval_name(difference))


def flipped(found: Estimate) -> Estimate:
    """Return a difference in the other direction: with the sign of all values changed."""

    def negative(value: float | None) -> float | None:
        return None if value is None else 0.0 - value

    return Estimate(negative(found.value), negative(found.high), negative(found.low))


def margin_of(value: float) -> str:
    """Format a margin without trailing zeros."""
    return f"{value:g}"


def count(number: float, noun: str) -> str:
    """Format a number with its noun, such as "1 run" or "2.5 images" (a mean over seeds)."""
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def all_of(number: int) -> str:
    """Return "both" for 2, and "all N" for another number."""
    return "both" if number == 2 else f"all {number}"


def in_words(names: Sequence[str]) -> str:
    """Join names with commas and "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
