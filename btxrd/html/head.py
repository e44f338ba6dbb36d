"""What stands around the sections of a page: banners, header, notes and lines of conclusion."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from btxrd.artifacts.summary import Summary
from btxrd.html.findings_grid import Grid
from btxrd.html.options import Options
from btxrd.html.splits import SplitColumn
from btxrd.report.generalisation import UNSEEN
from btxrd.report.runs import Run, ScoredRun
from btxrd.report.sentences.wording import count

STATES = ("complete", "running", "interrupted", "failed", "killed", "damaged", "missing")
SECTIONS = {  # anchor and name in the header, in the order of the page
    "findings": "Findings",
    "settings": "Settings",
    "options": "Options",
    "centers": "Centers",
    "errors": "Errors",
    "focus": "",
    "attention": "Attention",
    "runs": "Runs",
}


@dataclass(frozen=True)
class Note:
    """A banner above the page, or a note above a table."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Page:
    """The frame of a page.

    Attributes:
        title: Of the sweep or the run.
        synthetic: Whether a radiograph among the data is synthetic.
        banners: What a reader must know before any number.
        about: What was done, in a few words; may be empty.
        runs: Number of runs, in words.
        states: Number of runs by state.
        incomplete: Whether a run is not complete.
        sections: Anchor and name of each section that the page has.
        exports: Whether the page has a section of exports.
        selection: How the selected settings were chosen.
        conclusions: One line for each section, by its anchor; empty if there is none.
        notes: What must be known about the table of settings.
        footer: Last line.
    """

    title: str
    synthetic: bool
    banners: tuple[Note, ...]
    about: str
    runs: str
    states: tuple[tuple[str, int], ...]
    incomplete: bool
    sections: tuple[tuple[str, str], ...]
    exports: bool
    selection: str
    conclusions: dict[str, str]
    notes: tuple[Note, ...]
    footer: str


def page_of_sweep(
    folder: Path,
    summary: Summary,
    runs: Sequence[Run],
    columns: Sequence[SplitColumn],
    *,
    found: Sequence[Grid],
    changes: Options | None,
    left_out: Sequence[str],
    focus: str,
) -> Page:
    """Return the frame of the page of a sweep.

    Args:
        folder: Folder of the summary.
        summary: Its content.
        runs: All runs.
        columns: The splits.
        found: The main findings.
        changes: What the options change.
        left_out: Anchors of the sections that the page lacks.
        focus: Name of the class that a section is about.
    """
    states = Counter(row.state for row in summary.runs)
    names = SECTIONS | {"focus": focus.capitalize()}
    incomplete = any(row.state != "complete" or row.error for row in summary.runs)
    return Page(
        title="/".join(folder.resolve().parts[-2:]),
        synthetic=summary.synthetic is not None,
        banners=_banners(summary, runs, columns),
        about="",
        runs=count(len(summary.runs), "run"),
        states=tuple(sorted(states.items(), key=lambda item: _place(item[0]))),
        incomplete=incomplete,
        sections=tuple((key, name) for key, name in names.items() if key not in left_out),
        exports=True,
        selection=_selection(summary),
        conclusions=dict.fromkeys(names, "") | _conclusions(summary, found, changes),
        notes=_notes(summary),
        footer="Metrics are of the test partition. The numbers of this page are in summary.json.",
    )


def _place(state: str) -> int:
    return STATES.index(state) if state in STATES else len(STATES)


def without_mark(synthetic: str) -> str:
    """Return the sentence about synthetic data without its beginning, which a banner prints."""
    return synthetic.removeprefix("Synthetic data: ")


def _banners(
    summary: Summary, runs: Sequence[Run], columns: Sequence[SplitColumn]
) -> tuple[Note, ...]:
    found = []
    if summary.synthetic is not None:
        found.append(Note("synthetic", "Synthetic data.", without_mark(summary.synthetic)))
    if any(isinstance(run, ScoredRun) and run.config.config.split.groups == "none" for run in runs):
        text = "Some runs have images of one patient in training and in test (split.groups=none), "
        text += "so their test metrics are too high."
        found.append(Note("bad", "Groups are split across partitions.", text))
    tested = [column.split for column in columns if column.is_test]
    if tested:
        text = f"No setting is selected on {' and '.join(tested)}, because the images that would "
        text += "select it are those that test it."
        found.append(Note("bad", "Validation equals test.", text))
    return tuple(found)


def _selection(summary: Summary) -> str:
    settings = {row.key for row in summary.settings}
    seeds = {len(row.runs) for row in summary.settings}
    text = count(len(settings), "setting")
    if len(seeds) == 1:
        text += f", {count(seeds.pop(), 'seed')} each"
    if summary.winners:
        text += ". Selected on validation macro AUC, not on test metrics"
    return text + "."


def _notes(summary: Summary) -> tuple[Note, ...]:
    found = []
    rows = summary.settings
    short = [row for row in rows if len(row.runs) < row.planned]
    incomplete = [row for row in summary.runs if row.state != "complete" or row.error]
    if incomplete:
        text = "See the section Runs for causes and for the command that resumes them."
        if short:
            names = dict.fromkeys(row.setting for row in short)
            verb = "has" if len(names) == 1 else "have"
            text = f"{count(len(names), 'setting')} {verb} fewer runs than planned. {text}"
        verb = "is" if len(incomplete) == 1 else "are"
        title = f"{len(incomplete)} of {count(len(summary.runs), 'run')} {verb} not complete."
        found.append(Note("warn", title, text))
    if len(rows) > 1 and all(len(row.runs) == 1 for row in rows):
        text = "Another seed may change their order. Add `seed=0,1,2` to compare settings."
        found.append(Note("warn", "One seed: these are trained networks, not settings.", text))
    if len({row.key for row in rows}) == 1:
        text = "To compare it, name values of an option, such as `annotations=none,guided`."
        found.append(Note("plain", "One setting.", text))
    if rows and not set(UNSEEN) & {row.strategy for row in rows}:
        text = "To test at centers without training images, add `split=stratified,center`."
        found.append(Note("plain", "No unseen centers.", text))
    return tuple(found)


def _conclusions(
    summary: Summary, found: Sequence[Grid], changes: Options | None
) -> dict[str, str]:
    """Return a line for each section that says what it found, from the main findings."""
    lines: dict[str, list[str]] = {}
    for grid in found:
        for row in grid.rows:
            for column, cell in zip(grid.columns, row.cells, strict=True):
                if cell is not None:
                    text = f"{column.label}: {cell.finding.short}"
                    lines.setdefault(row.section, []).append(text)
    complete = sum(row.state == "complete" for row in summary.runs)
    lines["runs"] = [f"{complete} of {len(summary.runs)} complete"]
    lines["options"] = [] if changes is None else _of_options(changes)
    return {key: " · ".join(texts) for key, texts in lines.items()}


def _of_options(changes: Options) -> list[str]:
    lines = []
    for table in changes.contrasts:
        values = [
            f"{one.value:+.3f}".replace("-", "−") + f" ({column.short})"
            for one, column in zip(table.lines[-1].differences, changes.columns, strict=True)
            if one is not None and one.value is not None
        ]
        if values:
            lines.append(f"{table.title}: {', '.join(values)}")
    return lines
