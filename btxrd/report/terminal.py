"""A summary as text, for the terminal."""

from pathlib import Path
from typing import Any

from btxrd.execution.status import LOG
from btxrd.pages import duration
from btxrd.report.conclusions import answers
from btxrd.report.runs import short_names

FIGURES = ("accuracy", "macro_auc")


def as_text(folder: Path, content: dict[str, Any], paths: dict[str, Path]) -> str:
    """Lay out a summary: a row a run, what failed and where its log is, winners, seeds.

    Args:
        folder: of the summary.
        content: of summary.json.
        paths: of the folders of runs, by name.
    """
    rows = content["runs"]
    common, names = short_names([row["run"] for row in rows])
    titles = [row["split"] or "-" for row in rows]
    width, splits = (max(map(len, ["split", *texts])) for texts in (names, titles))
    head = f"{'run':<{width}}  {'split':<{splits}}  {'state':<11}  {'accuracy':<20}"
    lines = ["", f"{head}  macro AUC (95 % interval)"]
    for name, title, row in zip(names, titles, rows, strict=True):
        place = f"{name:<{width}}  {title:<{splits}}  {row['state']:<11}"
        lines.append(f"{place}  {_outcome(row)}")
    if common:
        lines.append(f"(each with {common})")
    lines += ["", _standing(rows, content["at_once"])]
    broken = [row for row in rows if row["state"] in ("failed", "damaged") or _is_refused(row)]
    if broken:
        lines += ["", "Failed:"]
        for row in broken:
            log = paths[row["run"]] / LOG
            lines += [f"  {row['run']}", f"    {row['error']}"]
            lines += ["    left untouched" if _is_refused(row) else f"    {log}"]
    lines += ["", f"Winner by {content['selection_rule']}:"]
    for split, found in answers(content):
        lines.append(f"  {split}")
        lines += [f"    {answer.question:<39} {answer.short}" for answer in found]
    if not content["winners"]:
        lines.append("  none: no run was evaluated on a val of its own")
    several = [row for row in content["settings"] if len(row["seeds"]) > 1]
    if several:
        lines += ["", "Over seeds, mean and standard deviation on test:"]
        lines += [_over_seeds(row) for row in several]
    return "\n".join([*lines, "", f"{folder / 'report.html'}"])


def _is_refused(row: dict[str, Any]) -> bool:
    return str(row["error"]).startswith("refused")


def _outcome(row: dict[str, Any]) -> str:
    if row["macro_auc"] is not None or row["accuracy"] is not None:
        shown = [
            f"{row[name]:.3f} ({row[f'{name}_low']:.3f}-{row[f'{name}_high']:.3f})"
            if row[name] is not None
            else "-"
            for name in FIGURES
        ]
        return f"{shown[0]:<20}  {shown[1]}"
    if row["state"] in ("running", "interrupted"):
        left = (
            "" if row["seconds_left"] is None else f", at most {duration(row['seconds_left'])} left"
        )
        return f"epoch {row['epochs']} of {row['of_epochs']}{left}"
    return ""


def _standing(rows: list[dict[str, Any]], at_once: int) -> str:
    """One line: how many runs are where, and how long the rest may take."""
    states = [row["state"] for row in rows]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    text = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    text = f"{len(rows)} runs: {text}"
    took = [row["seconds"] for row in rows if row["state"] == "complete"]
    if "running" not in counts or not took:
        return text
    typical = sum(took) / len(took)
    left = [
        row["seconds_left"] if row["seconds_left"] is not None else typical
        for row in rows
        if row["state"] in ("running", "missing", "interrupted")
    ]
    return f"{text}; about {duration(sum(left) / at_once)} left"


def _over_seeds(row: dict[str, Any]) -> str:
    shown = [
        f"{name.replace('_', ' ')} {row[name]['value']:.3f} +- {row[name]['sd']:.3f}"
        for name in FIGURES
        if row[name]["value"] is not None
    ]
    seeds = ", ".join(map(str, row["seeds"]))
    return f"  {row['setting']}, {row['split']}, seeds {seeds}: {', '.join(shown)}"
