"""report.html: the report of a sweep, as one self-contained file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btxrd.artifacts.evidence.comparison import PairedComparison, SettingRow
from btxrd.artifacts.hashes import RUN_PAGE
from btxrd.artifacts.summary import Summary
from btxrd.html.axes import Axis
from btxrd.html.centers import centers
from btxrd.html.charts.curves import Charts, charts_of
from btxrd.html.configs import configs_of, environment
from btxrd.html.evidence import (
    UNIT,
    VARIANTS,
    Point,
    Row,
    Subgroups,
    parts_of,
    points_of,
    rows_of,
    shown_runs,
    subgroups_of,
)
from btxrd.html.export import methods, settings_csv, settings_latex
from btxrd.html.findings_grid import grids
from btxrd.html.gallery import Gallery, galleries
from btxrd.html.head import page_of_sweep
from btxrd.html.options import options
from btxrd.html.run_map import run_map
from btxrd.html.settings.lines import other_metrics
from btxrd.html.settings.table import NARROW, settings_tables
from btxrd.html.splits import split_columns
from btxrd.pages import render
from btxrd.report.columns import columns_of
from btxrd.report.comparison_sets import COMPARED, ComparisonSet
from btxrd.report.runs import Run, short_names
from btxrd.report.sentences.finding import Finding
from btxrd.report.sentences.findings import findings, written
from btxrd.report.sentences.focus import of_point
from btxrd.runtime.files import write_text

REPORT = "report.html"
MOST_PAIRS = 40  # largest number of pairs in the report; summary.json has all of them


@dataclass(frozen=True)
class Evidence:
    """Content of the sections on errors, on the focus class and on maps.

    Attributes:
        rows: Each setting on each split; the selected setting of a split comes first.
        subgroups: Subgroups of each split.
        galleries: Gallery of each split; None if no image may be shown.
        charts: Charts of the curves.
        points: Operating points.
        verdicts: Finding on the operating point of a setting, by the name of its first run.
        background: Name of the class without a lesion; empty without one.
        variants: Name of each masking variant on the page.
        unit: Axis from 0 to 1.
    """

    rows: list[Row]
    subgroups: list[Subgroups]
    galleries: list[Gallery] | None
    charts: Charts
    points: list[Point]
    verdicts: dict[str, Finding]
    background: str
    variants: dict[str, str]
    unit: Axis


def write_report(
    folder: Path,
    summary: Summary,
    runs: Sequence[Run],
    sets: Sequence[ComparisonSet],
    *,
    images: bool,
) -> None:
    """Write report.html, which links to the pages and folders of the runs.

    Args:
        folder: Folder to write into.
        summary: Content of the summary.
        runs: All runs.
        sets: Settings by their test cases.
        images: Whether the report shows radiographs.
    """
    content = {
        **_decision(folder, summary, runs, sets),
        "evidence": _evidence(summary, runs, images),
        "parts_of": parts_of,
        **_surroundings(folder, summary, runs),
    }
    write_text(folder / REPORT, render("sweep/report.html.j2", **content))


def _decision(
    folder: Path, summary: Summary, runs: Sequence[Run], sets: Sequence[ComparisonSet]
) -> dict[str, Any]:
    """Return the content of the page from the header to the section on centers."""
    columns = split_columns(summary)
    focus = summary.settings[0].focus if summary.settings else "focus class"
    found = grids(findings(summary), {one.split: one.kind for one in columns}, focus)
    changes, at_centers, tables = options(summary), centers(summary, sets), settings_tables(summary)
    metrics = columns_of(row.class_names for row in summary.settings)
    left_out = {
        "settings": not tables,
        "options": not changes and not summary.comparisons,
        "centers": at_centers is None,
    } | dict.fromkeys(("errors", "focus", "attention"), not summary.settings)
    absent = [name for name, is_absent in left_out.items() if is_absent]
    page = page_of_sweep(
        folder, summary, runs, columns,
        found=found, changes=changes, left_out=absent, focus=focus,
    )  # fmt: skip
    return {
        "page": page,
        "anchors": [anchor for anchor, _ in page.sections],
        "summary": summary,
        "margin": summary.margin,
        "focus": focus,
        "findings": found,
        "statements": {anchor: written(summary, anchor) for anchor, _ in page.sections},
        "tables": tables,
        "metrics": other_metrics(tables[0].lines, metrics) if tables else {},
        "narrow": NARROW,
        "unit": Axis(0, 1),
        "options": changes,
        "centers": at_centers,
        "columns": metrics,
        "compared": [column for column in metrics if column.key in COMPARED],
        "chance": _chance_levels(summary.settings),
        "pairs": _first_pairs(summary),
        "several_seeds": any(len(row.runs) > 1 for row in summary.settings),
    }


def _evidence(summary: Summary, runs: Sequence[Run], images: bool) -> Evidence:
    """Return the evidence of a summary; `images` says whether radiographs may be shown."""
    columns = split_columns(summary)
    rows = rows_of(summary, columns)
    return Evidence(
        rows=rows,
        subgroups=subgroups_of(summary, columns),
        galleries=galleries(shown_runs(summary, rows), runs) if images else None,
        charts=charts_of(summary, {one.split: one.label for one in columns}),
        points=points_of(rows),
        verdicts={row.runs[0]: of_point(row) for row in summary.settings},
        background=next((one.row.background or "" for one in rows), ""),
        variants=VARIANTS,
        unit=UNIT,
    )


def _surroundings(folder: Path, summary: Summary, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the content of the sections on runs and on exports, and the links to the runs."""
    names = [run.name for run in runs]
    links = {run.name: _link(run, folder) for run in runs}
    return {
        "links": links,
        "short": dict(zip(names, short_names(names)[1], strict=True)),
        "folders": {run.name: f"{os.path.relpath(run.path, folder)}/" for run in runs},
        "map": run_map(summary, runs, folder, links),
        "configs": configs_of(runs),
        "environment": environment(runs),
        "seconds": sum(row.seconds or 0 for row in summary.runs),
        "exported": {"csv": settings_csv(summary), "tex": settings_latex(summary)},
        "methods": methods(summary, runs),
    }


def _link(run: Run, folder: Path) -> str:
    """Return the relative path of the page of a run; of its folder, if it has no page."""
    place = os.path.relpath(run.path, folder)
    return f"{place}/{RUN_PAGE}" if (run.path / RUN_PAGE).is_file() else f"{place}/"


def _chance_levels(rows: Sequence[SettingRow]) -> dict[str, dict[str, float | None]]:
    """Return the metrics of a model without skill, by the first run of a setting and by metric.

    The chance level of accuracy is the share of the most frequent class.
    """
    found = {}
    for row in rows:
        levels = {
            column.key: column.metric.chance(row.class_names)
            for column in columns_of([row.class_names])
        }
        counts = [sum(members) for members in row.confusion]
        found[row.runs[0]] = levels | {"accuracy": max(counts) / max(sum(counts), 1)}
    return found


def _first_pairs(summary: Summary) -> list[PairedComparison]:
    """Return the pairs to show: those of a winner first, then significant differences."""
    winners = {winner.run for winner in summary.winners}
    first = {row.runs[0] for row in summary.settings if winners & set(row.runs)}

    def rank(pair: PairedComparison) -> tuple[bool, bool]:
        return not first & set(pair.runs), not pair.differences["macro_auc"].significant

    return sorted(summary.comparisons, key=rank)[:MOST_PAIRS]
