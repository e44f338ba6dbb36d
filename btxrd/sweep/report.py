"""The table -> one HTML page."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from btxrd.files import write_text
from btxrd.vocabulary import FIGURES


def write_report(sweep_dir: Path, summary: dict[str, Any]) -> None:
    """Write report.html beside the runs that it links to.

    Args:
        sweep_dir: of the sweep.
        summary: the content of summary.json.
    """
    environment = Environment(
        loader=PackageLoader("btxrd.sweep", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link"] = quote
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    page = environment.get_template("report.html.j2").render(
        title="/".join(sweep_dir.resolve().parts[-2:]), figures=FIGURES, **summary
    )
    write_text(sweep_dir / "report.html", page)
