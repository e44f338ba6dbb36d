"""Pages, from the templates in this folder."""

import shlex
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **content: Any) -> str:
    """Fill in a template; a name that it lacks is an error, and text in HTML is escaped."""
    environment = Environment(
        loader=PackageLoader("btxrd.pages", ""),
        autoescape=".html" in template,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link"] = quote
    environment.filters["quoted"] = shlex.quote
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    return environment.get_template(template).render(**content)
