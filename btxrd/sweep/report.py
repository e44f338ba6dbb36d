"""The table -> one HTML page."""

from pathlib import Path
from typing import Any

from btxrd.files import write_text
from btxrd.pages import render
from btxrd.vocabulary import FIGURES


def write_report(sweep_dir: Path, summary: dict[str, Any]) -> None:
    """Write report.html beside the runs that it links to.

    Args:
        sweep_dir: of the sweep.
        summary: the content of summary.json.
    """
    title = "/".join(sweep_dir.resolve().parts[-2:])
    page = render("report.html.j2", title=title, figures=FIGURES, **summary)
    write_text(sweep_dir / "report.html", page)
