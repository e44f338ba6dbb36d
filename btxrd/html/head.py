"""The frame of a page around its sections: banners, header, notes and conclusions."""

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

STATES = ("complete", "running", "interrupted", "failed", "damaged", "missing")
SECTIONS = {  # name in the header by anchor, in the order of the page
    "findings": "Findings",
    "settings": "Settings",
    "options": "Options",
    "centers": "Centers",
    "errors": "Errors",
    "focus": "",
    "attention": "Localisation",
    "runs": "Runs",
}


@dataclass(frozen=True)
class Note:
    """A banner above the page, or a note above a table.

    Attributes:
        kind: Class in the style sheet.
        title: First words, in bold.
        text: The other sentences.
    """

    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Page:
    """The frame of a page.

    Attributes:
        title: Name of the sweep or of the run.
        synthetic: Whether any of the radiographs are synthetic.
        banners: Warnings above the page.
        about: Description in a few words; may be empty.
        runs: Number of runs, such as "8 runs".
        states: Number of runs by state.
        incomplete: Whether a run is not complete.
        sections: Anchor and name of each section of the page.
        exports: Whether the page has a section of exports.
        selection: Number of settings and seeds, and the basis of the selection.
        conclusions: Conclusion of each section in one line, by its anchor; may be empty.
        notes: Notes above the table of settings.
        footer: Last line of the page.
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
        summary: Content of the summary.
        runs: All runs.
        columns: The splits.
        found: The main findings.
        changes: Effects of the options; None if there are none.
        left_out: Anchors of the sections that the page lacks.
        focus: Name of the focus class.
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
        footer="Metrics are of the test partition, unless stated otherwise. They are in "
        "summary.json.",
    )


def _place(state: str) -> int:
    return STATES.index(state) if state in STATES else len(STATES)


def without_mark(synthetic: str) -> str:
    """Return the sentence about synthetic data without the words that are the banner's title."""
    return synthetic.removeprefix("Synthetic data: ")


def _banners(
    summary: Summary, runs: Sequence[Run], columns: Sequence[SplitColumn]
) -> tuple[Note, ...]:
    found = []
    if summary.synthetic is not None:
        found.append(Note("synthetic", "Synthetic data.", without_mark(summary.synthetic)))
    if any(isinstance(run, ScoredRun) and run.config.config.split.groups == "none" for run in runs):
        text = "Some runs (split.groups=none) may have images of one patient in training and in "
        text += "test, so their test metrics may be too high."
        found.append(Note("bad", "Groups are split across partitions.", text))
    tested = [column.split for column in columns if column.is_test]
    if tested:
        text = f"No setting is selected on {' and '.join(tested)}, because selection and test "
        text += "would use the same images."
        found.append(Note("bad", "Validation equals test.", text))
    return tuple(found)


def _selection(summary: Summary) -> str:
    settings = {row.key for row in summary.settings}
    seeds = {len(row.runs) for row in summary.settings}
    text = count(len(settings), "setting")
    if len(seeds) == 1:
        text += f", {count(seeds.pop(), 'seed')}{' each' if len(settings) > 1 else ''}"
    if summary.winners:
        text += ". Selected on validation macro AUC, not on test metrics"
    return text + "."


def _notes(summary: Summary) -> tuple[Note, ...]:
    found = []
    rows = summary.settings
    short = [row for row in rows if len(row.runs) < row.planned]
    incomplete = [row for row in summary.runs if row.state != "complete" or row.error]
    if incomplete:
        text = "The section Runs has the causes, and the command that resumes these runs."
        if short:
            names = dict.fromkeys(row.setting for row in short)
            verb = "has" if len(names) == 1 else "have"
            text = f"{count(len(names), 'setting')} {verb} fewer runs than planned. {text}"
        verb = "is" if len(incomplete) == 1 else "are"
        title = f"{len(incomplete)} of {count(len(summary.runs), 'run')} {verb} not complete."
        found.append(Note("warn", title, text))
    if len(rows) > 1 and all(len(row.runs) == 1 for row in rows):
        text = "Another seed may give other results. Add `seed=0,1,2` to compare settings."
        found.append(Note("warn", "One seed: these are trained networks, not settings.", text))
    if len({row.key for row in rows}) == 1:
        text = "To compare settings, give an option several values: `annotations=none,guided`."
        found.append(Note("plain", "One setting.", text))
    if rows and not set(UNSEEN) & {row.strategy for row in rows}:
        text = "To test at centers without training images, add `split=stratified,center`."
        found.append(Note("plain", "No unseen centers.", text))
    return tuple(found)


def _conclusions(
    summary: Summary, found: Sequence[Grid], changes: Options | None
) -> dict[str, str]:
    """Return a line for each section: its questions, each with the verdicts on all splits."""
    lines: dict[str, list[str]] = {}
    for grid in found:
        for row in grid.rows:
            verdicts: dict[str, list[str]] = {}
            for column, cell in zip(grid.columns, row.cells, strict=True):
                if cell is not None:
                    label = column.label if column.kind == "other" else column.label.lower()
                    verdicts.setdefault(cell.finding.short, []).append(label)
            several = len(found) > 1 or len(verdicts) > 1
            texts = [
                f"{short} ({', '.join(splits)})" if several else short
                for short, splits in verdicts.items()
            ]
            lines.setdefault(row.section, []).append(f"{row.question} {', '.join(texts)}")
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
