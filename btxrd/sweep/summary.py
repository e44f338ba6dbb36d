"""Runs on disk -> one table, the winner, what is distinguishable."""

import csv
import io
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from btxrd.errors import InputError
from btxrd.files import write_json, write_text
from btxrd.sweep.fingerprint import numbers
from btxrd.sweep.ledger import STATUS
from btxrd.sweep.plan import read_plan
from btxrd.sweep.report import write_report
from btxrd.sweep.runs import COLUMNS, Run, read_runs
from btxrd.sweep.table import as_text
from btxrd.vocabulary import CLASSES, HEADLINE

RULE = (
    "highest val macro AUC, then highest val malignant sensitivity, of the runs on one split; "
    "none where val is test"
)


def summarize(sweep_dir: Path) -> bool:
    """Write summary.csv, summary.json and report.html of a sweep, and print its table.

    Returns:
        Whether all its runs are complete, and none was refused.

    Raises:
        InputError: for a folder that is none of a sweep.
    """
    if (sweep_dir / STATUS).is_file():
        raise InputError(f"{sweep_dir}: is a run; name the folder of its sweep")
    runs = read_runs(sweep_dir)
    if not runs:
        raise InputError(f"{sweep_dir}: holds no run, and none was planned there")
    rows = [run.row for run in runs]
    content = {
        "selection_rule": RULE,
        "winners": select_winners(runs),
        "comparisons": compare(sweep_dir, runs),
        "generalisation_gap": generalisation_gap(runs),
        "seeds": over_seeds(runs),
        "at_once": read_plan(sweep_dir).at_once,
        "runs": rows,
    }
    try:
        write_text(sweep_dir / "summary.csv", _as_csv(rows))
        write_json(sweep_dir / "summary.json", content)
        write_report(sweep_dir, content)
    finally:
        print(as_text(sweep_dir, content))
    return all(row["state"] == "complete" and row["error"] is None for row in rows)


def _by_split(runs: list[Run]) -> dict[str, list[Run]]:
    """Evaluated runs whose partitions are equal, so that their figures can be compared."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.val is not None:
            groups[run.row["split_hash"]].append(run)
    return groups


def select_winners(runs: list[Run]) -> list[dict[str, Any]]:
    """Pick a winner for each split by RULE, which sees val figures only; the first of equals.

    Where val and test are the same images there is none.
    """
    winners = []
    for split_hash, members in _by_split(runs).items():
        if members[0].config is not None and members[0].config["split"]["strategy"] == "random":
            continue
        best = max(members, key=lambda run: run.val or ())
        assert best.val is not None
        winners.append(
            {
                "split": best.row["split"],
                "split_hash": split_hash,
                "run": best.name,
                "val_macro_auc": best.val[0],
                "val_malignant_sensitivity": best.val[1],
                "of": len(members),
            }
        )
    return winners


def compare(sweep_dir: Path, runs: list[Run]) -> list[dict[str, Any]]:
    """Test macro AUC of each split's winner less that of each other run, paired over groups."""
    comparisons = []
    groups = _by_split(runs)
    for winner in select_winners(runs):
        for run in groups[winner["split_hash"]]:
            if run.name != winner["run"]:
                difference = _difference(sweep_dir / winner["run"], sweep_dir / run.name)
                comparisons.append(
                    {"split": winner["split"], "one": winner["run"], "other": run.name}
                    | {"figure": "macro_auc"}
                    | difference
                )
    return comparisons


def _difference(one: Path, other: Path) -> dict[str, Any]:
    import pandas as pd

    from btxrd.evaluation.resampling import paired_difference

    group = pd.read_csv(one / "split.csv", dtype=str).set_index("image_id")["group"]
    columns = [f"prob_{name}" for name in CLASSES]
    tables = []
    for run_dir in (one, other):
        table = pd.read_csv(run_dir / "predictions.csv", dtype={"image_id": str})
        tables.append(table[table["partition"] == "test"].set_index("image_id").sort_index())
    label = tables[0]["label"].map({name: label for label, name in enumerate(CLASSES)})
    probs = [table[columns].to_numpy() for table in tables]
    groups = group.loc[tables[0].index].to_numpy(str)
    return paired_difference(label.to_numpy(), probs[0], probs[1], groups)


def generalisation_gap(runs: list[Run]) -> list[dict[str, Any]]:
    """Test figures on `stratified` less those on `center`, for runs that are equal otherwise."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.config is not None and run.row["macro_auc"] is not None:
            alike[_all_but(run.config, "split", but=("split.seed", "split.groups"))].append(run)
    return [
        {name: near.row[name] for name in ("experiment", "model", "annotations", "seed")}
        | {"stratified": near.name, "center": far.name, "split": far.row["split"]}
        | {name: near.row[name] - far.row[name] for name in ("accuracy", "macro_auc")}
        for members in alike.values()
        for near in _of_strategy(members, "stratified")
        for far in _of_strategy(members, "center")
    ]


def over_seeds(runs: list[Run]) -> list[dict[str, Any]]:
    """Mean and standard deviation of test figures over runs that differ in nothing but the seed."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.config is not None:
            alike[_all_but(run.config, "seed")].append(run)
    return [
        {name: members[0].row[name] for name in ("experiment", "model", "split", "annotations")}
        | {"seeds": [run.row["seed"] for run in members]}
        | {name: _spread([run.row[name] for run in members]) for name in HEADLINE}
        for members in alike.values()
        if len(members) > 1
    ]


def _all_but(config: dict[str, Any], key: str, but: tuple[str, ...] = ()) -> str:
    """What can change a number of a run, save for one key or the keys under it."""
    found = numbers({name: value for name, value in config.items() if name != "choices"})
    rest = {
        name: value
        for name, value in found.items()
        if name in but or not (name == key or name.startswith(f"{key}."))
    }
    return json.dumps(rest, sort_keys=True)


def _spread(values: list[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"mean": statistics.mean(known), "sd": statistics.stdev(known)}


def _of_strategy(runs: list[Run], strategy: str) -> list[Run]:
    return [run for run in runs if run.config and run.config["split"]["strategy"] == strategy]


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
