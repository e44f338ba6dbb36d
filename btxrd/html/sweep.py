"""The page of a sweep: one file that needs nothing beside it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from btxrd.artifacts.comparison import PairedComparison, SettingRow
from btxrd.artifacts.summary import Summary
from btxrd.html.axes import Axis
from btxrd.html.centers import centers
from btxrd.html.configs import configs_of, environment
from btxrd.html.findings_grid import grids
from btxrd.html.gallery import gallery
from btxrd.html.head import page_of_sweep
from btxrd.html.options import options
from btxrd.html.settings_table import NARROW, settings_tables
from btxrd.html.splits import split_columns
from btxrd.pages import render
from btxrd.report.columns import columns_of
from btxrd.report.comparison_sets import COMPARED, ComparisonSet
from btxrd.report.findings import findings, written
from btxrd.report.runs import Run, short_names
from btxrd.runtime.files import write_text

REPORT = "report.html"
MOST_PAIRS = 40  # in the report; summary.json has all


def write_report(
    folder: Path,
    summary: Summary,
    runs: Sequence[Run],
    sets: Sequence[ComparisonSet],
    *,
    images: bool,
) -> None:
    """Write report.html, which links to the folders of the runs.

    Args:
        folder: Folder to write into.
        summary: Content of the summary.
        runs: All runs.
        sets: The settings, by their test cases.
        images: Whether the report shows radiographs.
    """
    content = {
        **_decision(folder, summary, runs, sets),
        **_evidence(summary, runs, sets, images),
        **_surroundings(folder, summary, runs),
    }
    write_text(folder / REPORT, render("sweep/report.html.j2", **content))


def _decision(
    folder: Path, summary: Summary, runs: Sequence[Run], sets: Sequence[ComparisonSet]
) -> dict[str, Any]:
    """Return what the sections need that a reader decides by: from the header to the centers."""
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


def _evidence(
    summary: Summary, runs: Sequence[Run], sets: Sequence[ComparisonSet], images: bool
) -> dict[str, Any]:
    """Return what the sections on errors, curves and Grad-CAM need."""
    return {
        "curves": _curves(sets),
        "gallery": gallery(summary.winners, runs) if images else None,
    }


def _surroundings(folder: Path, summary: Summary, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the section on runs needs, and the links to their folders."""
    names = [run.name for run in runs]
    common, short = short_names(names)
    return {
        "links": {run.name: _link(run, folder) for run in runs},
        "short": dict(zip(names, short, strict=True)),
        "common": common,
        "incomplete": [row for row in summary.runs if row.state != "complete" or row.error],
        "configs": configs_of(runs),
        "environment": environment(runs),
        "seconds": sum(row.seconds or 0 for row in summary.runs),
    }


def _link(run: Run, folder: Path) -> str:
    """Return the relative path of the page of a run; of its folder, if it has no page."""
    place = os.path.relpath(run.path, folder)
    return f"{place}/run.html" if (run.path / "run.html").is_file() else f"{place}/"


def _curves(sets: Sequence[ComparisonSet]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Draw the charts of each set of settings, with the title of its split."""
    if not sets:
        return []
    from btxrd.html.charts import charts  # takes a second to load matplotlib and scikit-learn

    return [(found.settings[0].split, charts(found.settings)) for found in sets]


def _chance_levels(rows: Sequence[SettingRow]) -> dict[str, dict[str, float | None]]:
    """Return the value without any skill, by the first run of a setting and by metric.

    That of accuracy is the share of the most frequent class.
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
