"""The runs of a sweep as they lie on disk."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from btxrd.artifacts.plan import read_plan
from btxrd.config.schema import AnnotationsConfig, SplitConfig
from btxrd.data.constants import HEADLINE
from btxrd.errors import InputError
from btxrd.evaluation.bootstrap import Groups
from btxrd.evaluation.metrics import Floats, Labels
from btxrd.evaluation.selection import Candidate, labels_and_probs
from btxrd.execution.status import STATUS, read_config, read_status
from btxrd.runtime.files import read_json

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
class TestSet:
    """The test cases of a run, in the order of ids.

    Attributes:
        ids: (n,).
        labels: (n,) in 0..2.
        groups: (n,) the units that were drawn.
        centers: (n,).
    """

    __test__ = False  # is none of pytest's

    ids: Groups
    labels: Labels
    groups: Groups
    centers: Labels

    @property
    def identity(self) -> bytes:
        """Equal for equal cases with equal labels and groups."""
        return b"\0".join(array.tobytes() for array in (self.ids, self.labels, self.groups))


@dataclass(frozen=True, eq=False)
class Run:
    """A run as it lies on disk.

    Attributes:
        name: of its folder, in its sweep.
        path: of its folder.
        row: of summary.csv.
        status: the content of status.json; empty where there is none.
        config: the content of config.yaml; None unless evaluated, like the next.
        metrics: the content of metrics.json.
        val: what may select it; None where that cannot be computed, or where val is test.
        test: its test cases.
        probs: (n, 3) of them.
    """

    name: str
    path: Path
    row: dict[str, Any]
    status: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    val: Candidate | None = None
    test: TestSet | None = None
    probs: Floats | None = None


def read_runs(sweep_dir: Path, prefix: str = "") -> list[Run]:
    """Read every run that was planned or is there, in the order of the plan.

    A folder that was refused in the last call keeps its row; it takes no part in what is picked or
    compared, since it is not the run that was asked for. `prefix` is put before each name.
    """
    plan = read_plan(sweep_dir)
    found = sorted(path.parent for path in sweep_dir.rglob(STATUS))
    names = list(dict.fromkeys([*plan.runs, *(f.relative_to(sweep_dir).as_posix() for f in found)]))
    runs = []
    for name in names:
        run = _read_run(sweep_dir / name, prefix + name)
        if name in plan.refused:
            run = Run(run.name, run.path, run.row | {"error": f"refused: {plan.refused[name]}"})
        runs.append(run)
    return runs


def _read_run(run_dir: Path, name: str) -> Run:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"run": name, "state": "missing", "error": "never started"}
    try:
        return _read_folder(run_dir, name, row)
    except (InputError, OSError, ValueError, KeyError, TypeError) as error:
        damaged = row | {"state": "damaged", "error": f"cannot be read: {error}"}
        return Run(name, run_dir, damaged)


def _read_folder(run_dir: Path, name: str, row: dict[str, Any]) -> Run:
    status = read_status(run_dir)
    if status is None:
        return Run(name, run_dir, row)
    config = read_config(run_dir)
    row = row | {
        "state": status["state"],
        "experiment": config["choices"].get("experiment"),
        "model": "_".join(
            filter(None, (config["model"]["backbone"], config["model"]["attn_layer"]))
        ),
        "split": SplitConfig(**config["split"]).title,
        "annotations": AnnotationsConfig(**config["annotations"]).title,
        "seed": config["seed"],
        "seconds": status["seconds"],
        "error": _cause(status),
        "split_hash": status.get("split_hash"),
    }
    row |= _progress(run_dir, status, config["training"]["epochs"])
    if status["state"] != "complete" or not config["evaluate"]:
        return Run(name, run_dir, row, status)
    metrics = read_json(run_dir / "metrics.json")
    if not {"clinical", "looks", "shortcuts"} <= set(metrics):
        raise ValueError("metrics.json is of an older version")
    metrics.setdefault("lesion_maps", None)
    if not row["epochs"]:
        raise ValueError("history.csv has no epoch")
    test, probs = _read_test(run_dir, metrics["test"]["n"])
    row["n_test"] = metrics["test"]["n"]
    for figure in HEADLINE:
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[figure + end] = metrics["test"][figure][key]
    val = _candidate(name, config, metrics["val"])
    return Run(name, run_dir, row, status, config, metrics, val, test, probs)


def _read_test(run_dir: Path, n: int) -> tuple[TestSet, Floats]:
    """Read the test cases of a run. Raises ValueError where its files do not fit each other."""
    cases, predictions = (
        table[table["partition"] == "test"].sort_values("image_id").reset_index(drop=True)
        for table in (
            pd.read_csv(run_dir / name, dtype={"image_id": str, "group": str})
            for name in ("split.csv", "predictions.csv")
        )
    )
    if len(cases) != n or not cases["image_id"].equals(predictions["image_id"]):
        raise ValueError("predictions.csv, split.csv and metrics.json have other test cases")
    labels, probs = labels_and_probs(predictions)
    ids, groups = (cases[name].to_numpy(str) for name in ("image_id", "group"))
    return TestSet(ids, labels, groups, cases["center"].to_numpy(int)), probs


def _candidate(name: str, config: dict[str, Any], val: dict[str, Any]) -> Candidate | None:
    """What of a run may select it; no test figure goes in."""
    area = val["macro_auc"]["value"]
    sensitivity = val["per_class"]["malignant"]["sensitivity"]["value"]
    if config["split"]["strategy"] == "random" or area is None or sensitivity is None:
        return None
    return Candidate(name, area, sensitivity)


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


def short_names(names: list[str]) -> tuple[str, list[str]]:
    """Take out of the names of runs what all of them share; returns that, and the rest."""
    parts = [name.split(",") for name in names]
    shared = [part for part in parts[0] if all(part in other for other in parts)] if parts else []
    if len(names) < 2 or not all(set(part) - set(shared) for part in parts):
        return "", names
    return ",".join(shared), [",".join(p for p in part if p not in shared) for part in parts]
