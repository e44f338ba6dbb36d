"""A summary as text for the terminal."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary, SummaryRow
from btxrd.config.jobspec import LOG
from btxrd.pages import duration
from btxrd.report.columns import Column, columns_of
from btxrd.report.comparison_sets import COMPARED
from btxrd.report.runs import short_names
from btxrd.report.sentences.findings import (
    QUESTIONS,
    SplitFindings,
    completeness,
    findings,
    one_seed,
    tag_of,
)
from btxrd.report.sentences.wording import MINUS

UNBROKEN = "\N{NO-BREAK SPACE}"
WIDTH = 20  # of a metric with its interval
PLAIN = {MINUS: "-", "·": ",", "“": '"', "”": '"'}  # signs that a terminal may lack


def as_text(folder: Path, summary: Summary, paths: dict[str, Path]) -> str:
    """Format a summary: a row per run, failures with their logs, winners, findings, and seeds.

    Args:
        folder: Folder of the summary.
        summary: Its content.
        paths: Folders of the runs, by name.
    """
    lines = [] if summary.synthetic is None else ["", *_wrapped(summary.synthetic)]
    lines += ["", *_table(summary), "", _progress(summary.runs, summary.at_once)]
    lines += _failures(summary.runs, paths)
    lines += ["", *_findings(summary)]
    several = [row for row in summary.settings if len(row.seeds) > 1]
    if several:
        lines += ["", "Over seeds, mean and standard deviation on test:"]
        lines += [line for row in several for line in _over_seeds(row)]
    return "\n".join([*lines, "", f"{folder / 'report.html'}"])


def _table(summary: Summary) -> list[str]:
    shown = [
        column
        for column in columns_of(row.class_names for row in summary.settings)
        if column.metric.in_terminal
    ]
    rows = summary.runs
    tags = {run: tag_of(setting, run) for setting in summary.settings for run in setting.runs}
    common, names = short_names([row.run for row in rows])
    titles = [row.split or "-" for row in rows]
    width, splits = (max(map(len, ["split", *texts])) for texts in (names, titles))
    heads = [f"{column.heading:<{WIDTH}}" for column in shown]
    head = "  ".join([f"{'run':<{width}}", f"{'split':<{splits}}", f"{'state':<11}", *heads])
    lines = [f"{head.rstrip()} (95% CI)"]
    for name, title, row in zip(names, titles, rows, strict=True):
        begin = f"{name:<{width}}  {title:<{splits}}  {row.state:<11}"
        lines.append(f"{begin}  {_outcome(row, shown)}  {_plain(tags.get(row.run, ''))}".rstrip())
    if max(map(len, lines)) > _terminal_width():
        lines = _stacked(names, rows, shown, tags)
    if common:
        lines += _wrapped(f"(each with {common})", hang=0)
    return lines


def _stacked(
    names: Sequence[str], rows: Sequence[SummaryRow], shown: Sequence[Column], tags: dict[str, str]
) -> list[str]:
    """Return the table for a narrow terminal: the name of each run, and its row below it."""
    lines = ["runs, with 95% CI:"]
    for name, row in zip(names, rows, strict=True):
        cells = [
            f"{column.heading} {_cell(row.metrics.get(column.key), column.metric.as_percent)}"
            for column in shown
            if row.metrics
        ] or [_outcome(row, shown)]
        found = ", ".join(filter(None, [row.state, *cells, tags.get(row.run)]))
        lines += [*_wrapped(name or "run"), *_wrapped(found, indent=2)]
    return lines


def _outcome(row: SummaryRow, shown: Sequence[Column]) -> str:
    if row.metrics:
        cells = [_cell(row.metrics.get(column.key), column.metric.as_percent) for column in shown]
        return "  ".join(f"{cell:<{WIDTH}}" for cell in cells)
    if row.state in ("running", "interrupted"):
        left = "" if row.seconds_left is None else f", at most {duration(row.seconds_left)} left"
        return f"epoch {row.epochs} of {row.of_epochs}{left}"
    return ""


def _cell(found: Estimate | None, as_percent: bool) -> str:
    if found is None or found.value is None:
        return "-"

    def show(value: float) -> str:
        return f"{value:.1%}" if as_percent else f"{value:.3f}"

    if found.low is None or found.high is None:
        return show(found.value)
    return f"{show(found.value)} ({show(found.low)}-{show(found.high)})"


def _progress(rows: Sequence[SummaryRow], at_once: int) -> str:
    """Return one line: the number of runs in each state, and how long the others may take."""
    states = [row.state for row in rows]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    text = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    text = f"{len(rows)} {'run' if len(rows) == 1 else 'runs'}: {text}"
    took = [row.seconds or 0 for row in rows if row.state == "complete"]
    if "running" not in counts or not took:
        return text
    typical = sum(took) / len(took)
    left = [
        row.seconds_left if row.seconds_left is not None else typical
        for row in rows
        if row.state in ("running", "missing", "interrupted")
    ]
    return f"{text}; about {duration(sum(left) / at_once)} left"


def _failures(rows: Sequence[SummaryRow], paths: dict[str, Path]) -> list[str]:
    broken = [row for row in rows if row.state in ("failed", "damaged") or _is_refused(row)]
    lines = ["", "Failed:"] if broken else []
    for row in broken:
        lines += [f"  {row.run}", f"    {row.error}"]
        lines += ["    left untouched" if _is_refused(row) else f"    {paths[row.run] / LOG}"]
    return lines


def _is_refused(row: SummaryRow) -> bool:
    return str(row.error).startswith("refused")


def _findings(summary: Summary) -> list[str]:
    columns = findings(summary)
    if not columns:
        return ["Winner: none, since no run was evaluated on a val partition of its own"]
    selected = any(column.setting for column in columns)
    lines = _wrapped(f"Winner by {summary.selection_rule}:" if selected else "Winner: none")
    focus = summary.settings[0].focus if summary.settings else ""
    for column in columns:
        lines += _of_split(column, focus)
    caveats = [text for text in (completeness(summary), one_seed(summary)) if text]
    return lines + [line for caveat in caveats for line in ("", *_wrapped(caveat))]


def _of_split(column: SplitFindings, focus: str) -> list[str]:
    """Return the selected setting of a split, and a line for each question."""
    title = f"{column.setting}, macro AUC {column.headline}" if column.setting else column.headline
    beside = column.beside
    if column.setting:  # the title names the metric
        beside = beside.removeprefix("macro AUC").removeprefix(", ")
    lines = _wrapped(f"{column.split}: {title}{f' ({beside})' if beside else ''}", indent=2)
    answers = [
        "; ".join(part for part in (one.short, one.beside) if part) for one in column.findings
    ]
    if column.setting is None:
        return lines
    if len(set(answers)) == 1:
        return lines + _wrapped(answers[0], indent=4)
    texts = {question.key: question.text.format(focus=focus) for question in QUESTIONS}
    width = max(map(len, texts.values()))
    for one, answer in zip(column.findings, answers, strict=True):
        lines += _wrapped(f"{texts[one.key]:<{width}}  {answer}", indent=4, hang=width + 6)
    return lines


def _wrapped(text: str, indent: int = 0, hang: int = 4) -> list[str]:
    """Return a text in lines that fit the terminal; in one line if there is no terminal."""
    line = f"{' ' * indent}{_plain(text)}"
    width = _terminal_width()
    if len(line) <= width:
        return [line]
    hang = min(hang, width // 2)
    return textwrap.wrap(line, width, subsequent_indent=" " * hang, drop_whitespace=True) or [line]


def _terminal_width() -> int:
    """Return the columns of the terminal, at least 40; without a terminal, no line is too long."""
    if not sys.stdout.isatty():
        return sys.maxsize
    return max(shutil.get_terminal_size().columns, 40)


def _plain(text: str) -> str:
    """Write a text with the signs that each terminal has."""
    for sign, plain in PLAIN.items():
        text = text.replace(sign, plain)
    return text


def _over_seeds(row: SettingRow) -> list[str]:
    shown = []
    for column in columns_of([row.class_names]):
        found = row.compared.get(column.key) if column.key in COMPARED else None
        if found is not None and found.value is not None and found.sd is not None:
            shown.append(f"{column.heading} {found.value:.3f}{UNBROKEN}+-{UNBROKEN}{found.sd:.3f}")
    seeds = ", ".join(map(str, row.seeds))
    text = f"{row.setting}, {row.split}, seeds {seeds}: {', '.join(shown)}"
    return [line.replace(UNBROKEN, " ") for line in _wrapped(text, indent=2)]
