"""Pages, from the templates in this folder."""

import shlex
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


def render(template: str, **content: Any) -> str:
    """Fill in a template; a name that it lacks is an error, and text in HTML is escaped."""
    return _environment(".html" in template).get_template(template).render(**content)


@cache
def _environment(escapes: bool) -> Environment:
    """Return what compiles the templates, once for all pages of a process."""
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
        "duration": duration,
    }
    return environment


def prose(text: str) -> Markup:
    """Write a sentence in HTML; what is between backticks is code."""
    parts = [
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part)
        for at, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def true_minus(text: str) -> str:
    """Write a number with the sign for minus; one that rounds to 0 has no sign."""
    is_zero = not any(digit in text for digit in "123456789")
    return text.lstrip("+-") if is_zero else text.replace("-", "−")


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def percent(value: float, *, against: float | None = None) -> str:
    """A share; with a decimal if it would become 0%, 100% or the share that it is compared with."""
    limits = (0.0, 1.0) if against is None else (0.0, 1.0, against)
    hides = any(limit != value and abs(value - limit) < 0.00501 for limit in limits)
    return f"{value:.1%}" if hides else f"{value:.0%}"
