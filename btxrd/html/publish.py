"""Summarise sweeps: read their runs, and write the summary and the HTML pages."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from btxrd.artifacts import codec
from btxrd.artifacts.hashes import RUN_PAGE
from btxrd.artifacts.plan import PLAN, SweepPlan, read_usable_plan
from btxrd.artifacts.status import STATUS
from btxrd.artifacts.summary import SUMMARY_JSON, Summary, write_summary
from btxrd.errors import InputError
from btxrd.html.run_page import Origin, write_run_page
from btxrd.html.sweep import REPORT, write_report
from btxrd.report.comparison_sets import comparison_sets
from btxrd.report.runs import Run, read_run, read_runs
from btxrd.report.settings import settings_of
from btxrd.report.summary import summary_of
from btxrd.report.terminal import as_text
from btxrd.runtime.folders import refuse_foreign, refuse_readonly


def summarize(
    sweep_dirs: list[Path], folder: Path, *, images: bool = True, margin: float | None = None
) -> bool:
    """Write summary.csv, summary.json and report.html of sweeps, and print their table.

    Args:
        sweep_dirs: Folders of the sweeps. With several, the names of runs begin with that of
            their sweep.
        folder: Folder to write into.
        images: Whether the pages may show radiographs. They do only if the plans allow it, too.
        margin: Smallest difference in macro AUC that matters; None for the largest margin of the
            plans.

    Returns:
        Whether all runs are complete, and none was refused.

    Raises:
        InputError: If a folder is not that of a sweep, or if `folder` contains other files than
            those of a sweep or a summary.
    """
    if folder not in sweep_dirs:
        _check_folder(folder)
    plans = [read_usable_plan(sweep_dir) for sweep_dir in sweep_dirs]
    images = images and all(plan.images for plan in plans)
    runs = [
        run
        for (sweep_dir, prefix), plan in zip(_prefixes(sweep_dirs), plans, strict=True)
        for run in _runs_of(sweep_dir, plan, prefix)
    ]
    sets = comparison_sets(settings_of(runs))
    summary = summary_of(
        runs,
        sets,
        margin=max(plan.margin for plan in plans) if margin is None else margin,
        rebuild=_rebuild(sweep_dirs, folder, images, margin),
        commands=tuple(plan.command for plan in plans if plan.command),
        at_once=max(plan.at_once for plan in plans),
    )
    try:
        write_summary(folder, summary)
        if folder in sweep_dirs:
            _write_run_pages(runs, folder, summary, images)
        write_report(folder, summary, runs, sets, images=images)
    finally:
        print(as_text(folder, summary, {run.name: run.path for run in runs}))
    return all(run.row.state == "complete" and run.row.error is None for run in runs)


def publish_run(run_dir: Path, *, images: bool = True) -> bool:
    """Write run.html of a run, and print its path.

    Args:
        run_dir: Folder of the run.
        images: Whether the page may show radiographs. It does only if the config of the run and the
            plan of its sweep allow it, too.

    Returns:
        Whether the run is complete and without an error.
    """
    run = read_run(run_dir, run_dir.resolve().name)
    sweep_dir = next((at for at in run_dir.absolute().parents if (at / PLAN).is_file()), None)
    page = ""
    if sweep_dir is not None and (sweep_dir / REPORT).is_file():
        page = os.path.relpath(sweep_dir / REPORT, run_dir)
        images = images and read_usable_plan(sweep_dir).images
    write_run_page(run, Origin(page, images=images))
    print(f"{run_dir / RUN_PAGE}")
    return run.row.state == "complete" and run.row.error is None


def _write_run_pages(runs: Sequence[Run], folder: Path, summary: Summary, images: bool) -> None:
    """Write the page of each run that has a folder; print an error if one cannot be written."""
    of_run = {name: row for row in summary.settings for name in row.runs}
    for run in runs:
        if not run.path.is_dir() or (run.row.error or "").startswith("refused"):
            continue
        page = os.path.relpath(folder / REPORT, run.path)
        try:
            write_run_page(run, Origin(page, of_run.get(run.name), images))
        except (InputError, OSError) as error:
            print(f"{run.path}: run.html was not written ({error})", file=sys.stderr)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that contains other files than those of a sweep or a summary."""
    place, made = f"--to {folder}", {PLAN: "runs", SUMMARY_JSON: "selection_rule"}
    refuse_foreign(
        folder,
        place,
        lambda: any(codec.is_artifact(folder / name, key) for name, key in made.items()),
    )
    refuse_readonly(folder, place)


def _rebuild(sweep_dirs: list[Path], folder: Path, images: bool, margin: float | None) -> str:
    """Return the command that writes this summary again."""
    words = ["btxrd", "summarize", *map(str, sweep_dirs)]
    if sweep_dirs != [folder]:
        words += ["--to", str(folder)]
    if margin is not None:
        words += ["--margin", str(margin)]
    return shlex.join(words if images else [*words, "--no-images"])


def _prefixes(sweep_dirs: list[Path]) -> list[tuple[Path, str]]:
    """Return each sweep with the prefix of its runs' names: none, its name, or its path."""
    if len(sweep_dirs) == 1:
        return [(sweep_dirs[0], "")]
    names = [sweep_dir.resolve().name for sweep_dir in sweep_dirs]
    unique = names if len(set(names)) == len(names) else list(map(str, sweep_dirs))
    return [(sweep_dir, f"{name}/") for sweep_dir, name in zip(sweep_dirs, unique, strict=True)]


def _runs_of(sweep_dir: Path, plan: SweepPlan, prefix: str) -> list[Run]:
    if (sweep_dir / STATUS).is_file():
        raise InputError(f"{sweep_dir}: is the folder of a run; name the folder of its sweep")
    runs = read_runs(sweep_dir, plan, prefix)
    if not runs:
        raise InputError(f"{sweep_dir}: contains no run and no plan; name the folder of a sweep")
    return runs
