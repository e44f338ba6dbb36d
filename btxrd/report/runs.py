"""Read the runs of a sweep from disk."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from btxrd.artifacts.checked import read_history, read_predictions, read_split
from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.config import StoredConfig, read_config
from btxrd.artifacts.hashes import verify
from btxrd.artifacts.metrics import METRICS_FILE, RunMetrics, read_metrics
from btxrd.artifacts.plan import SweepPlan, read_usable_plan
from btxrd.artifacts.scores.estimates import UNDEFINED, Estimates
from btxrd.artifacts.status import STATUS, RunStatus
from btxrd.artifacts.summary import SummaryRow
from btxrd.artifacts.tables import HISTORY, labels_and_probs
from btxrd.errors import DamagedError, InputError, ran_out_of_memory
from btxrd.evaluation.bootstrap import Groups
from btxrd.evaluation.formulas import with_temperature
from btxrd.evaluation.metrics import Floats, Labels
from btxrd.evaluation.selection import Candidate
from btxrd.execution.status import read_status
from btxrd.report.columns import columns_of
from btxrd.runtime.files import is_there


@dataclass(frozen=True)
class TestSet:
    """The test cases of a run, in the order of ids.

    Attributes:
        ids: (n,) image ids.
        labels: (n,) labels in 0..k-1.
        groups: (n,) name of the group of each case; groups are resampled.
        centers: (n,) number of the center of each case.
        names: Names of the k classes.
    """

    __test__ = False  # pytest must not collect it

    ids: Groups
    labels: Labels
    groups: Groups
    centers: Labels
    names: ClassNames

    @property
    def identity(self) -> tuple[bytes, ClassNames]:
        """Value that is equal for the same cases with the same labels, groups and class names."""
        arrays = (self.ids, self.labels, self.groups)
        return b"\0".join(array.tobytes() for array in arrays), self.names


@dataclass(frozen=True, eq=False)
class Run:
    """A run that was planned or has a folder.

    Attributes:
        name: Name of its folder in the sweep; with several sweeps, after the name of the sweep.
        path: Path of its folder.
        row: Row of summary.csv.
        status: Content of status.json; None if there is none, or if the run is not used.
    """

    name: str
    path: Path
    row: SummaryRow
    status: RunStatus | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoredRun(Run):
    """A complete run with metrics.

    Attributes:
        config: Content of config.yaml.
        metrics: Content of metrics.json.
        history: Rows of history.csv.
        val: Metrics on val for the selection; None if one is undefined, or if val is test.
        test: Test cases.
        probs: (n, k) probabilities of the test cases.
    """

    config: StoredConfig
    metrics: RunMetrics
    history: pd.DataFrame
    val: Candidate | None
    test: TestSet
    probs: Floats

    @property
    def calibrated(self) -> Floats:
        """Probabilities (n, k) of the test cases; with a temperature, after temperature scaling."""
        clinical = self.metrics.clinical
        return (
            self.probs if clinical is None else with_temperature(self.probs, clinical.temperature)
        )


def read_runs(sweep_dir: Path, plan: SweepPlan | None = None, prefix: str = "") -> list[Run]:
    """Read every run that was planned or has a folder, in the order of the plan.

    A folder that the last call refused has a row, but is neither selected nor compared, because it
    contains a different run.

    Args:
        sweep_dir: Folder of the sweep.
        plan: Content of plan.json; None to read the file.
        prefix: Text before the name of each run.
    """
    plan = read_usable_plan(sweep_dir) if plan is None else plan
    found = sorted(path.parent for path in sweep_dir.rglob(STATUS))
    names = list(dict.fromkeys([*plan.runs, *(f.relative_to(sweep_dir).as_posix() for f in found)]))
    runs = []
    for name in names:
        run = read_run(sweep_dir / name, prefix + name)
        if name in plan.refused:
            row = replace(run.row, error=f"refused: {plan.refused[name]}")
            run = Run(run.name, run.path, row)
        runs.append(run)
    return runs


def read_run(run_dir: Path, name: str) -> Run:
    """Read a run in any state; a problem with its files becomes the error of its row."""
    try:
        status = read_status(run_dir)
        if status is None:
            return Run(name, run_dir, SummaryRow(name, error="never started"))
        return _read_folder(run_dir, name, status)
    except InputError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename or run_dir}: cannot be read ({error.strerror})"
    except Exception as error:  # damage for which no reader has a message
        if ran_out_of_memory(error):
            raise
        problem = f"{run_dir}: is damaged ({type(error).__name__}: {' '.join(str(error).split())})"
    return Run(name, run_dir, SummaryRow(name, "damaged", error=problem))


def _read_folder(run_dir: Path, name: str, status: RunStatus) -> Run:
    if status.state == "complete" and status.files is not None:
        verify(run_dir, status.files)
    stored = read_config(run_dir)
    config = stored.config
    history = _read_history(run_dir)
    epochs = 0 if history is None else len(history)
    row = SummaryRow(
        name,
        status.state,
        experiment=stored.choices.get("experiment"),
        model="_".join(filter(None, (config.model.backbone, config.model.attn_layer))),
        split=config.split.title,
        annotations=config.annotations.title,
        seed=config.seed,
        seconds=None if status.seconds is None else max(0.0, status.seconds),
        error=_cause(status),
        split_hash=status.split_hash,
        epochs=epochs,
        of_epochs=config.training.epochs,
        seconds_left=_seconds_left(status, history, config.training.epochs),
    )
    if status.state != "complete" or not config.evaluate:
        return Run(name, run_dir, row, status)
    if history is None or not epochs:
        raise DamagedError(f"{run_dir / HISTORY.name}: is damaged (has no epoch)")
    metrics = read_metrics(run_dir)
    test, probs = _read_test(run_dir, metrics)
    row = replace(row, n_test=metrics.test.n, metrics=_headline(metrics))
    return ScoredRun(
        name, run_dir, row, status, config=stored, metrics=metrics, history=history,
        val=_candidate(name, stored, metrics), test=test, probs=probs,
    )  # fmt: skip


def _headline(metrics: RunMetrics) -> Estimates:
    """Return the headline metrics of the test partition that the run has."""
    values = metrics.test.values
    keys = [column.key for column in columns_of([metrics.class_names])]
    return {key: values[key] for key in keys if key in values}


def _read_test(run_dir: Path, metrics: RunMetrics) -> tuple[TestSet, Floats]:
    """Read the test cases and their probabilities.

    Raises:
        InputError: If the files of the run do not fit each other.
    """
    names = metrics.class_names
    split = read_split(run_dir)
    cases, predictions = (
        table[table["partition"] == "test"].sort_values("image_id").reset_index(drop=True)
        for table in (split, read_predictions(run_dir, names.names, split))
    )
    if len(cases) != metrics.test.n:
        raise DamagedError(
            f"{run_dir / METRICS_FILE}: is damaged (test.n={metrics.test.n}, but {len(cases)} "
            "cases were predicted)"
        )
    labels, probs = labels_and_probs(predictions, names.names)
    ids, groups = (cases[name].to_numpy(str) for name in ("image_id", "group"))
    return TestSet(ids, labels, groups, cases["center"].to_numpy(int), names), probs


def _candidate(name: str, stored: StoredConfig, metrics: RunMetrics) -> Candidate | None:
    """Return the metrics on val for the selection; None if one is undefined, or if val is test."""
    area = metrics.val.values.get("macro_auc", UNDEFINED).value
    of_focus = metrics.val.per_class[metrics.focus].values
    sensitivity = of_focus.get("sensitivity", UNDEFINED).value
    if stored.config.split.strategy == "random" or area is None or sensitivity is None:
        return None
    return Candidate(name, area, sensitivity)


def _read_history(run_dir: Path) -> pd.DataFrame | None:
    return read_history(run_dir) if is_there(run_dir / HISTORY.name) else None


def _seconds_left(status: RunStatus, history: pd.DataFrame | None, epochs: int) -> float | None:
    """Return the longest time in seconds that a running run may still take; None if unknown."""
    if status.state != "running" or history is None or history.empty:
        return None
    pace = float(np.mean(history["seconds"]))
    return round(pace * (epochs - len(history)), 1)


def _cause(status: RunStatus) -> str | None:
    if status.error is not None:
        lines = status.error.message.strip().splitlines() or [""]
        return f"{status.error.type}: {lines[0]}"
    return None if status.state == "complete" else f"{status.state} since {status.started}"


def short_names(names: list[str]) -> tuple[str, list[str]]:
    """Divide the names of runs into the parts that all of them share, and the rest.

    Returns:
        The shared parts, and the rest of each name.
    """
    parts = [name.split(",") for name in names]
    shared = [part for part in parts[0] if all(part in other for other in parts)] if parts else []
    if len(names) < 2 or not all(set(part) - set(shared) for part in parts):
        return "", names
    return ",".join(shared), [",".join(p for p in part if p not in shared) for part in parts]
