"""The runs of a sweep as they lie on disk."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btxrd.errors import InputError
from btxrd.files import read_json
from btxrd.schema import SplitConfig
from btxrd.sweep.ledger import STATUS, read_config, read_status
from btxrd.sweep.plan import read_plan
from btxrd.vocabulary import HEADLINE

IDENTITY = ("run", "state", "experiment", "model", "split", "annotations", "seed", "n_test")
COLUMNS = (
    *IDENTITY,
    *(f"{name}{end}" for name in HEADLINE for end in ("", "_low", "_high")),
    "seconds",
    "error",
    "split_hash",
    "epochs",  # done
    "of_epochs",
    "seconds_left",  # of a running one, at most
)


@dataclass(frozen=True)
class Run:
    """A run as it lies on disk."""

    name: str
    row: dict[str, Any]  # of summary.csv
    config: dict[str, Any] | None = None  # None unless evaluated, like the next
    val: tuple[float, float] | None = None  # what selects; None where it cannot be computed


def read_runs(sweep_dir: Path) -> list[Run]:
    """Read every run that was planned or is there, in the order of the plan.

    A folder that was refused in the last call keeps its row; it takes no part in what is picked or
    compared, since it is not the run that was asked for.
    """
    plan = read_plan(sweep_dir)
    found = sorted(path.parent for path in sweep_dir.rglob(STATUS))
    names = list(dict.fromkeys([*plan.runs, *(f.relative_to(sweep_dir).as_posix() for f in found)]))
    runs = [_read_run(sweep_dir, name) for name in names]
    return [
        Run(run.name, run.row | {"error": f"refused: {plan.refused[run.name]}"})
        if run.name in plan.refused
        else run
        for run in runs
    ]


def _read_run(sweep_dir: Path, name: str) -> Run:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"run": name, "state": "missing", "error": "never started"}
    try:
        return _read_folder(sweep_dir / name, name, row)
    except (InputError, OSError, ValueError, KeyError, TypeError) as error:
        return Run(name, row | {"state": "damaged", "error": f"cannot be read: {error}"})


def _read_folder(run_dir: Path, name: str, row: dict[str, Any]) -> Run:
    status = read_status(run_dir)
    if status is None:
        return Run(name, row)
    config = read_config(run_dir)
    row = row | {
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
    row |= _progress(run_dir, status, config["training"]["epochs"])
    if status["state"] != "complete" or not config["evaluate"]:
        return Run(name, row)
    for file in ("predictions.csv", "split.csv"):  # of what is compared
        (run_dir / file).stat()
    metrics = read_json(run_dir / "metrics.json")
    row["n_test"] = metrics["test"]["n"]
    for figure in HEADLINE:
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[figure + end] = metrics["test"][figure][key]
    val = metrics["val"]
    selects = (val["macro_auc"]["value"], val["per_class"]["malignant"]["sensitivity"]["value"])
    return Run(name, row, config, None if None in selects else selects)


def _progress(run_dir: Path, status: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Epochs done and to come; the time left counts all of them, an early stop may spare some."""
    path = run_dir / "history.csv"
    history = []
    if path.is_file():
        with path.open(newline="") as file:
            history = list(csv.DictReader(file))
    left = None
    if status["state"] == "running" and history:
        pace = sum(float(row["seconds"]) for row in history) / len(history)
        left = round(pace * (epochs - len(history)), 1)
    return {"epochs": len(history), "of_epochs": epochs, "seconds_left": left}


def _cause(status: dict[str, Any]) -> str | None:
    if status["error"] is not None:
        lines = status["error"]["message"].strip().splitlines() or [""]
        return f"{status['error']['type']}: {lines[0]}"
    return None if status["state"] == "complete" else f"{status['state']} since {status['started']}"
