"""Runs on disk -> one table, the winner, what is distinguishable."""

import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btxrd.errors import InputError
from btxrd.files import read_json, write_json, write_text
from btxrd.schema import SplitConfig
from btxrd.sweep.ledger import STATUS, read_config, read_status
from btxrd.sweep.plan import read_plan
from btxrd.sweep.report import write_report
from btxrd.vocabulary import CLASSES, HEADLINE

IDENTITY = ("run", "state", "experiment", "model", "split", "annotations", "seed", "n_test")
COLUMNS = (
    *IDENTITY,
    *(f"{name}{end}" for name in HEADLINE for end in ("", "_low", "_high")),
    "seconds",
    "error",
    "split_hash",
)
RULE = (
    "highest val macro AUC, then highest val malignant sensitivity, of the runs on one split; "
    "none where val is test"
)


@dataclass(frozen=True)
class Run:
    """A run as it lies on disk."""

    name: str
    row: dict[str, Any]  # of summary.csv
    config: dict[str, Any] | None = None  # None unless evaluated, like the next
    val: tuple[float, float] | None = None  # what RULE compares; None where it cannot be computed


def summarize(sweep_dir: Path) -> bool:
    """Write summary.csv, summary.json and report.html of a sweep, and print its table.

    Returns:
        Whether all its runs are complete.

    Raises:
        InputError: for a folder that is none of a sweep.
    """
    runs = read_runs(sweep_dir)
    if not runs:
        raise InputError(f"{sweep_dir}: holds no run, and none was planned there")
    rows = [run.row for run in runs]
    content = {
        "selection_rule": RULE,
        "winners": select_winners(runs),
        "comparisons": compare(sweep_dir, runs),
        "generalisation_gap": generalisation_gap(runs),
        "runs": rows,
    }
    write_text(sweep_dir / "summary.csv", _as_csv(rows))
    write_json(sweep_dir / "summary.json", content)
    write_report(sweep_dir, content)
    print(_as_text(sweep_dir, content))
    return all(row["state"] == "complete" for row in rows)


def read_runs(sweep_dir: Path) -> list[Run]:
    """Read every run that was planned or is there, in the order of the plan."""
    found = sorted(path.parent for path in sweep_dir.rglob(STATUS))
    names = read_plan(sweep_dir).runs
    names += [
        name for path in found if (name := path.relative_to(sweep_dir).as_posix()) not in names
    ]
    return [_read_run(sweep_dir, name) for name in names]


def _read_run(sweep_dir: Path, name: str) -> Run:
    run_dir = sweep_dir / name
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"run": name, "state": "missing", "error": "never started"}
    status = read_status(run_dir)
    if status is None:
        return Run(name, row)
    config = read_config(run_dir)
    row |= {
        "state": status["state"],
        "experiment": config["choices"].get("experiment"),
        "model": "_".join(
            filter(None, (config["model"]["backbone"], config["model"]["attn_layer"]))
        ),
        "split": SplitConfig(**config["split"]).title,
        "annotations": config["annotations"]["kind"],
        "seed": config["seed"],
        "seconds": status["seconds"],
        "error": _cause(status),
        "split_hash": status.get("split_hash"),
    }
    if status["state"] != "complete" or not config["evaluate"]:
        return Run(name, row)
    metrics = read_json(run_dir / "metrics.json")
    row["n_test"] = metrics["test"]["n"]
    for figure in HEADLINE:
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[figure + end] = metrics["test"][figure][key]
    val = metrics["val"]
    selects = (val["macro_auc"]["value"], val["per_class"]["malignant"]["sensitivity"]["value"])
    return Run(name, row, config, None if None in selects else selects)


def _cause(status: dict[str, Any]) -> str | None:
    if status["error"] is not None:
        lines = status["error"]["message"].strip().splitlines() or [""]
        return f"{status['error']['type']}: {lines[0]}"
    return None if status["state"] == "complete" else f"{status['state']} since {status['started']}"


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
            rest = {key: value for key, value in run.config.items() if key != "choices"}
            rest["split"] = [rest["split"].get(key) for key in ("seed", "groups")]
            alike[json.dumps(rest)].append(run)
    return [
        {name: near.row[name] for name in ("experiment", "model", "annotations", "seed")}
        | {"stratified": near.name, "center": far.name, "split": far.row["split"]}
        | {name: near.row[name] - far.row[name] for name in ("accuracy", "macro_auc")}
        for members in alike.values()
        for near in _of_strategy(members, "stratified")
        for far in _of_strategy(members, "center")
    ]


def _of_strategy(runs: list[Run], strategy: str) -> list[Run]:
    return [run for run in runs if run.config and run.config["split"]["strategy"] == strategy]


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _as_text(sweep_dir: Path, content: dict[str, Any]) -> str:
    rows = content["runs"]
    width = max(len(row["run"]) for row in rows)
    splits = max(len(row["split"] or "split") for row in rows)
    head = f"{'run':<{width}}  {'split':<{splits}}  {'state':<11}  {'accuracy':<20}"
    lines = ["", f"{head}  macro AUC (95 % interval)"]
    for row in rows:
        shown = [
            f"{row[name]:.3f} ({row[f'{name}_low']:.3f}-{row[f'{name}_high']:.3f})"
            if row[name] is not None
            else "-"
            for name in ("accuracy", "macro_auc")
        ]
        tail = f"  {row['error']}" if row["error"] else ""
        place = f"{row['run']:<{width}}  {row['split'] or '-':<{splits}}"
        lines.append(f"{place}  {row['state']:<11}  {shown[0]:<20}  {shown[1]}{tail}")
    lines += ["", f"Winner by {content['selection_rule']}:"]
    lines += [
        f"  {winner['split']}: {winner['run']} (val macro AUC {winner['val_macro_auc']:.3f})"
        for winner in content["winners"]
    ] or ["  none: no run was evaluated on a val of its own"]
    return "\n".join([*lines, f"{sweep_dir / 'report.html'}"])
