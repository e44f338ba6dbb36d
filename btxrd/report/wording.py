"""How sentences of the report write metrics, numbers and names."""

from collections.abc import Sequence

from btxrd.artifacts.metrics import Estimate


def format_estimate(found: Estimate | None, *, percent: bool = False) -> str:
    """Format a metric with its confidence interval."""
    if found is None or found.value is None:
        return "not known"

    def show(value: float) -> str:
        return f"{value:.0%}" if percent else f"{value:.3f}"

    if found.low is None or found.high is None:
        return show(found.value)
    return f"{show(found.value)} (95% CI {show(found.low)} to {show(found.high)})"


def count(number: int, noun: str) -> str:
    """Format a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def in_words(names: Sequence[str]) -> str:
    """List names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
