"""Content of the section on runs: a map of the runs, and the causes of incomplete runs."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from btxrd.artifacts.plan import PLAN, read_usable_plan
from btxrd.artifacts.summary import Summary, SummaryRow
from btxrd.config.commandline import resuming
from btxrd.report.runs import Run
from btxrd.report.settings import without_split_and_seed

LOG = "run.log"


@dataclass(frozen=True)
class Cell:
    """A run in the map.

    Attributes:
        run: Name of the run.
        state: State of the run.
        seed: Seed of the run, as text; empty if it is not known.
        link: Path of its page or folder; empty if there is none.
    """

    run: str
    state: str
    seed: str
    link: str


@dataclass(frozen=True)
class MapRow:
    """The runs of one setting.

    Attributes:
        setting: Name of the setting.
        cells: Runs by the title of the split.
    """

    setting: str
    cells: dict[str, list[Cell]]


@dataclass(frozen=True)
class Incomplete:
    """A run that is not complete or not used.

    Attributes:
        run: Name of the run.
        state: State of the run.
        cause: Cause of the state.
        link: Path of its page or folder; empty if there is none.
        log: Path of its log; empty if there is none.
    """

    run: str
    state: str
    cause: str
    link: str
    log: str


@dataclass(frozen=True)
class RunMap:
    """The runs of a sweep.

    Attributes:
        splits: Titles of the splits, which are the columns of the map.
        rows: One row for each setting.
        incomplete: The runs that are not complete.
        resume: The commands that resume them.
    """

    splits: tuple[str, ...]
    rows: tuple[MapRow, ...]
    incomplete: tuple[Incomplete, ...]
    resume: tuple[str, ...]


def run_map(summary: Summary, runs: Sequence[Run], folder: Path, links: dict[str, str]) -> RunMap:
    """Return the map of the runs.

    Args:
        summary: Content of summary.json.
        runs: All runs, in the order of the summary.
        folder: Folder of the page.
        links: Path of the page or folder of each run.
    """
    of_setting = {run: row.setting for row in summary.settings for run in row.runs}
    settings = {without_split_and_seed(run): name for run, name in of_setting.items()}
    titles = {_option(row.run, "split"): row.split for row in summary.runs if row.split}
    rows: dict[str, dict[str, list[Cell]]] = {}
    for run in runs:
        row, rest = run.row, without_split_and_seed(run.name)
        name = of_setting.get(run.name) or settings.get(rest, rest)
        split = row.split or titles.get(_option(row.run, "split")) or "split not known"
        seed = _option(row.run, "seed") if row.seed is None else str(row.seed)
        cell = Cell(run.name, _state(row), seed, links[run.name] if run.path.is_dir() else "")
        rows.setdefault(name, {}).setdefault(split, []).append(cell)
    incomplete = [run for run in runs if run.row.state != "complete" or run.row.error]
    return RunMap(
        splits=tuple(dict.fromkeys(split for cells in rows.values() for split in cells)),
        rows=tuple(MapRow(name, cells) for name, cells in rows.items()),
        incomplete=tuple(_incomplete(run, folder, links) for run in incomplete),
        resume=tuple(dict.fromkeys(filter(None, (resume_command(run) for run in incomplete)))),
    )


def _state(row: SummaryRow) -> str:
    return "refused" if (row.error or "").startswith("refused") else row.state


def _option(name: str, key: str) -> str:
    """Return the value of an override in the name of a run; empty if it has none."""
    found = re.search(rf"(?:^|[,/]){key}=([^,/]*)", name)
    return found[1] if found else ""


def _incomplete(run: Run, folder: Path, links: dict[str, str]) -> Incomplete:
    log = run.path / LOG
    return Incomplete(
        run.name,
        _state(run.row),
        run.row.error or run.row.state,
        links[run.name] if run.path.is_dir() else "",
        os.path.relpath(log, folder) if log.is_file() else "",
    )


def resume_command(run: Run) -> str:
    """Return the command that resumes the sweep of a run; empty if it is not known."""
    sweep_dir = next((path for path in run.path.parents if (path / PLAN).is_file()), None)
    if sweep_dir is None:
        return ""
    command = read_usable_plan(sweep_dir).command
    return resuming(shlex.split(command), "hydra.sweep.dir", sweep_dir) if command else ""
