"""Runs on disk -> one table, the winners, what can be told apart, what holds elsewhere."""

import csv
import io
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from btxrd.artifacts.plan import read_plan
from btxrd.errors import InputError
from btxrd.evaluation.bootstrap import scores
from btxrd.evaluation.selection import RULE, choose_winner
from btxrd.execution.status import STATUS
from btxrd.report.compare import COMPARED, Bench, benches_of, compare, with_seeds
from btxrd.report.generalisation import generalisation_gap
from btxrd.report.html import write_report
from btxrd.report.runs import COLUMNS, Run, read_runs
from btxrd.report.sets import sets_of
from btxrd.report.settings import Setting, settings_of
from btxrd.report.terminal import as_text
from btxrd.runtime.files import write_json, write_text

TOGETHER = ("macro_auc", "accuracy", "balanced_accuracy", "malignant_called_normal")


def summarize(sweep_dirs: list[Path], folder: Path, *, images: bool = True) -> bool:
    """Write summary.csv, summary.json and report.html of sweeps, and print their table.

    Args:
        sweep_dirs: of the sweeps; the names of runs of several begin with that of their sweep.
        folder: to write into.
        images: whether the page shows films.

    Returns:
        Whether all runs are complete, and none was refused.

    Raises:
        InputError: for a folder that is none of a sweep.
    """
    runs = [
        run for sweep_dir, prefix in _prefixes(sweep_dirs) for run in _runs_of(sweep_dir, prefix)
    ]
    rows = [run.row for run in runs]
    plans = [read_plan(sweep_dir) for sweep_dir in sweep_dirs]
    benches = benches_of(settings_of(runs))
    content: dict[str, Any] = {
        "rebuild": _rebuild(sweep_dirs, folder, images),
        "commands": [plan.command for plan in plans if plan.command],
        "selection_rule": RULE,
        **evidence(benches),
        "at_once": max(plan.at_once for plan in plans),
        "runs": rows,
    }
    try:
        write_text(folder / "summary.csv", _as_csv(rows))
        write_json(folder / "summary.json", content)
        write_report(folder, content, runs, benches, images=images)
    finally:
        print(as_text(folder, content, {run.name: run.path for run in runs}))
    return all(row["state"] == "complete" and row["error"] is None for row in rows)


def _rebuild(sweep_dirs: list[Path], folder: Path, images: bool) -> str:
    """The command that writes this summary again."""
    words = ["python", "-m", "btxrd.summarize", *map(str, sweep_dirs)]
    if sweep_dirs != [folder]:
        words += ["--to", str(folder)]
    return shlex.join(words if images else [*words, "--no-images"])


def _prefixes(sweep_dirs: list[Path]) -> list[tuple[Path, str]]:
    """What is put before the names of runs: nothing, the sweep's folder, or its path if need be."""
    if len(sweep_dirs) == 1:
        return [(sweep_dirs[0], "")]
    names = [sweep_dir.resolve().name for sweep_dir in sweep_dirs]
    told_by = names if len(set(names)) == len(names) else list(map(str, sweep_dirs))
    return [(sweep_dir, f"{name}/") for sweep_dir, name in zip(sweep_dirs, told_by, strict=True)]


def _runs_of(sweep_dir: Path, prefix: str) -> list[Run]:
    if (sweep_dir / STATUS).is_file():
        raise InputError(f"{sweep_dir}: is a run; name the folder of its sweep")
    runs = read_runs(sweep_dir, prefix)
    if not runs:
        raise InputError(f"{sweep_dir}: holds no run, and none was planned there")
    return runs


def evidence(benches: list[Bench]) -> dict[str, Any]:
    """All that can be said of the settings of some benches.

    Returns:
        `winners`, `settings`, `comparisons` and `generalisation_gap`, as summary.json holds them.
    """
    comparisons = compare(benches)
    return {
        "winners": select_winners([setting for bench in benches for setting in bench.settings]),
        "settings": _describe_all(benches, comparisons),
        "comparisons": comparisons,
        "generalisation_gap": generalisation_gap(benches),
    }


def select_winners(settings: list[Setting]) -> list[dict[str, Any]]:
    """Pick a winner for each split by RULE, which sees val figures only; the first of equals.

    Where val and test are the same images there is none. `run` is the winner's best seed on val.
    """
    by_split: dict[str, list[Setting]] = defaultdict(list)
    for setting in settings:
        if setting.val is not None:
            by_split[setting.split_hash].append(setting)
    winners = []
    for split_hash, members in by_split.items():
        by_name = {setting.name: setting for setting in members}
        best = choose_winner([setting.val for setting in members if setting.val is not None])
        winner = by_name[best.name]
        seed = choose_winner([run.val for run in winner.runs if run.val is not None])
        winners.append(
            {
                "split": winner.split,
                "split_hash": split_hash,
                "setting": winner.name,
                "run": seed.name,
                "val_macro_auc": best.macro_auc,
                "val_malignant_sensitivity": best.malignant_sensitivity,
                "of": len(members),
                "unranked": [
                    setting.name
                    for setting in settings
                    if setting.val is None and setting.split_hash == split_hash
                ],
            }
        )
    return winners


def _describe_all(benches: list[Bench], comparisons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a setting; letters are numbered where one split's settings have several test sets."""
    titles = [bench.settings[0].split for bench in benches]
    several = len(set(titles)) < len(titles)
    return [
        row
        for number, bench in enumerate(benches, 1)
        for row in _describe(bench, comparisons, str(number) if several else "")
    ]


def _describe(bench: Bench, comparisons: list[dict[str, Any]], number: str) -> list[dict[str, Any]]:
    """A row a setting: what it is, its figures over the seeds, and its sets."""
    letters = {figure: sets_of(bench, comparisons, figure, number) for figure in COMPARED}
    rows = []
    for place, setting in enumerate(bench.settings):
        first = setting.runs[0].row
        row = {name: first[name] for name in ("split", "experiment", "model", "annotations")}
        row |= {"setting": setting.name, "strategy": setting.strategy, "seeds": setting.seeds}
        row |= {"runs": [run.name for run in setting.runs], "n_test": first["n_test"]}
        row["val_macro_auc"] = None if setting.val is None else setting.val.macro_auc
        for figure in COMPARED:
            row[figure] = with_seeds(bench, figure, place) | {"set": letters[figure][place]}
        for figure in ("balanced_accuracy", "malignant_called_normal", "ece"):
            row[figure] = setting.metrics("test", figure)
        for part in ("per_class", "per_center", "confusion"):
            row[part] = setting.metrics("test", part)
        for part in ("clinical", "looks", "lesion_maps", "shortcuts"):
            row[part] = setting.metrics(part)
        row["together"] = _together(setting)
        rows.append(row)
    return rows


def _together(setting: Setting) -> dict[str, Any] | None:
    """Test figures of the seeds' mean probabilities: of one model made of several networks."""
    if len(setting.runs) == 1:
        return None
    test, probs = setting.test, np.mean(setting.probs, axis=0)
    found = scores(test.labels, probs, test.groups, test.centers)
    return {name: found[name] for name in TOGETHER}


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
