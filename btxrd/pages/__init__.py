"""Render the templates in this folder: the HTML pages and the model card."""

import shlex
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


def render(template: str, **content: Any) -> str:
    """Return a template with its variables filled in; text in HTML is escaped.

    Args:
        template: Path of the template in this folder, such as `sweep/report.html.j2`.
        content: Values of its variables.

    Raises:
        jinja2.UndefinedError: If the template uses a variable that is not in `content`.
    """
    return _environment(".html" in template).get_template(template).render(**content)


@cache
def _environment(escapes: bool) -> Environment:
    """Return the Jinja environment with the filters of the templates."""
    environment = Environment(
        loader=PackageLoader("btxrd.pages", ""),
        autoescape=escapes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "link": quote,
        "quoted": shlex.quote,
        "figure": lambda value: "–" if value is None else f"{value:.3f}",
        "number": lambda value: "–" if value is None else true_minus(f"{value:.3f}"),
        "signed": lambda value: "–" if value is None else true_minus(f"{value:+.3f}"),
        "prose": prose,
        "tick": lambda value: true_minus(f"{value:.3g}"),
        "signed_tick": lambda value: true_minus(f"{value:+.3g}") if value else "0",
        "percent": lambda value: "–" if value is None else f"{value:.0%}",
        "p_value": lambda value: (
            "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
        ),
        "words": lambda name: name.replace("_", " "),
        "counted": lambda number, noun: f"{number:g} {noun}{'' if number == 1 else 's'}",
        "duration": duration,
    }
    return environment


def prose(text: str) -> Markup:
    """Return a sentence as HTML; text between backticks becomes code."""
    parts = [
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part)
        for at, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def true_minus(text: str) -> str:
    """Return a number with a minus sign for its hyphen; a number that shows 0 has no sign."""
    is_zero = not any(digit in text for digit in "123456789")
    return text.lstrip("+-") if is_zero else text.replace("-", "−")


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes, hours or days, by its length in seconds."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def percent(value: float, *, against: float | None = None) -> str:
    """Format a share as a percentage.

    It has a decimal only if, without one, a share that is not 0, 1 or `against` would be written
    like that limit.

    Args:
        value: Share, from 0 to 1.
        against: Share that the text compares it with; None if it does not.
    """
    limits = (0.0, 1.0) if against is None else (0.0, 1.0, against)
    hides = any(limit != value and abs(value - limit) < 0.00501 for limit in limits)
    return f"{value:.1%}" if hides else f"{value:.0%}"
