"""Write the files of runs and sweeps from dataclasses, without training."""

import csv
import json
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.config import write_config
from btxrd.artifacts.metrics import RunMetrics, read_metrics, write_metrics
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.scores.localisation import Localisation, MapCounts, MapScore
from btxrd.artifacts.status import RunStatus, Worker, write_status
from btxrd.artifacts.summary import write_summary
from btxrd.artifacts.tables import HISTORY, PREDICTIONS, PROBABILITY, SPLIT, write_table
from btxrd.config.schema import (
    AnnotationsConfig,
    Config,
    DataConfig,
    ModelConfig,
    SplitConfig,
    TrainingConfig,
)
from btxrd.evaluation.bootstrap import partition_metrics
from btxrd.evaluation.calibration import calibrate
from btxrd.evaluation.selection import Validation
from btxrd.evaluation.shortcuts import score_shortcuts
from btxrd.report.comparison_sets import comparison_sets
from btxrd.report.runs import read_runs
from btxrd.report.settings import settings_of
from btxrd.report.summary import summary_of as summary_of_runs
from btxrd.report.terminal import as_text

VAL, TEST = 40, 60
NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")


def draw(labels, power, seed, k=3):
    """Draw probabilities that favour the true class more with a larger `power` in [0, 1]."""
    noise = np.random.default_rng(seed).dirichlet((1,) * k, len(labels))
    return (noise * (1 - power) + np.eye(k)[labels] * power).round(9)


@dataclass(frozen=True, eq=False)
class Cases:
    """Labels, probabilities, ids, groups and centers of the cases of a partition."""

    labels: np.ndarray
    probs: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    centers: np.ndarray
    names: ClassNames = NAMES

    def table(self, partition):
        classes = self.names.names
        found = pd.DataFrame(self.probs, columns=[PROBABILITY.format(name) for name in classes])
        return found.assign(
            image_id=self.ids,
            partition=partition,
            label=[classes[label] for label in self.labels],
            center=self.centers,
            group=self.groups,
        )

    def where(self, chosen):
        arrays = (self.labels, self.probs, self.ids, self.groups, self.centers)
        return Cases(*(array[chosen] for array in arrays), self.names)


@cache
def cases_of(prefix, n, power, *, noise=0, centers=(1,), copies=1, names=NAMES):
    k = len(names)
    labels = np.arange(n) % k
    probs, index = draw(labels, power, noise, k), np.repeat(np.arange(n), copies)
    return Cases(
        labels[index],
        probs[index],
        np.array([f"{prefix}{place}" for place in range(n * copies)]),
        np.array([f"{prefix}{place}" for place in index]),
        np.array([centers[place // k % len(centers)] for place in index]),
        names,
    )


def config_of(
    split,
    backbone="resnet50",
    *,
    groups="whole",
    seed=4,
    centers=(2, 3),
    phantom=None,
    annotations=("none", "none"),
    **training,
):
    held_out = [center for center in centers if center > 1] or [2, 3]
    return Config(
        ModelConfig(backbone=backbone, attn_layer="cbam"),
        DataConfig(root="data", phantom=phantom),
        SplitConfig(split, groups=groups, held_out=held_out),
        AnnotationsConfig(annotations[0], sham=annotations[1]),
        TrainingConfig(**{"epochs": 10, **training}),
        seed=seed,
    )


def write_run(
    sweep_dir,
    name,
    *,
    split="stratified",
    groups="whole",
    skill=(0.5, 0.5),
    state="complete",
    error=None,
    seed=4,
    noise=0,
    backbone="resnet50",
    cases=(VAL, TEST),
    centers=None,
    copies=1,
    names=NAMES,
    **training,
):
    """Write the files of a run. `skill` is the power of val and test, `noise` the seed of both."""
    centers = centers or ((2, 3) if split == "center" else (1,))
    run_dir = sweep_dir / name
    config = config_of(split, backbone, groups=groups, seed=seed, centers=centers, **training)
    write_config(run_dir, config, {"experiment": "E9"})
    status = RunStatus(
        state, "f", "2026-01-31T12:00:00.000+00:00", seconds=12.5, error=error,
        worker=Worker("here", 7), split_hash=f"{split}-{groups}",
    )  # fmt: skip
    write_status(run_dir, status)
    if state != "complete":
        return run_dir
    val, test = (
        cases_of(
            f"{split}-{partition}", n, power, noise=noise, centers=centers, copies=copies,
            names=names,
        )
        for partition, n, power in zip(("val", "test"), cases, skill, strict=True)
    )  # fmt: skip
    write_scored(run_dir, None if split == "random" else val, test)
    write_history(run_dir, 2)
    return run_dir


def write_scored(run_dir, val, test):
    """Write split.csv, predictions.csv and metrics.json. If `val` is None, test serves as val."""
    tables = [test.table("test")] + ([] if val is None else [val.table("val")])
    write_table(run_dir, SPLIT, pd.concat(tables))
    write_table(run_dir, PREDICTIONS, pd.concat(tables), test.names.names)
    write_metrics(run_dir, metrics_of(val, test))


@cache
def partition_of(cases):
    return partition_metrics(cases.labels, cases.probs, cases.groups, cases.centers, cases.names)


@cache
def metrics_of(val, test):
    names, k = test.names, len(test.names)
    clinical = None
    if val is not None:
        chosen_on = Validation.of(val.table("val"), names.names)
        clinical = calibrate(chosen_on, test.labels, test.probs, test.groups, test.centers, names)
    variants = {
        "unmodified": test.probs,
        "lesion_masked": draw(test.labels, 0, 5, k),
        "border_masked": test.probs,
        "center_and_size": draw(test.labels, 0, 6, k),
    }
    return RunMetrics(
        names.names,
        names.focus,
        names.background,
        partition_of(test if val is None else val),
        partition_of(test),
        clinical,
        {"all": localisation()},
        None,
        score_shortcuts(test.labels, test.probs, test.groups, variants),
    )


def write_history(run_dir, epochs, seconds=6.0):
    number = np.arange(1, epochs + 1)
    rows = pd.DataFrame({"epoch": number, "val_loss": 1 / number, "val_macro_auc": 0.6})
    rest = dict.fromkeys(("lr", "train_loss", "val_accuracy", "images_per_second"), 0.5)
    write_table(run_dir, HISTORY, rows.assign(seconds=seconds, **rest))


def localisation(peak=0.4, width=0.1, of_others=0.1, ok=38, empty=1):
    """Return the Grad-CAM localisation of 40 tumours."""
    score = MapScore(peak, peak - width, peak + width, 0.02, of_others)
    return Localisation(40, MapCounts(ok, empty, 1), score, score, score)


def edit_metrics(run_dir, **changes):
    """Change fields of metrics.json."""
    write_metrics(run_dir, replace(read_metrics(run_dir), **changes))


def edit_val(run_dir, area, sensitivity):
    """Change the validation metrics by which a run is selected."""
    val = read_metrics(run_dir).val
    focus = val.per_class["malignant"]
    focus = replace(focus, values=focus.values | {"sensitivity": Estimate(sensitivity, 0, 1)})
    values = val.values | {"macro_auc": Estimate(area, 0, 1)}
    per_class = val.per_class | {"malignant": focus}
    edit_metrics(run_dir, val=replace(val, values=values, per_class=per_class))


def summary_in_memory(sweep_dir):
    """Summarise a sweep without writing files."""
    runs = read_runs(sweep_dir)
    return summary_of_runs(runs, comparison_sets(settings_of(runs)))


def summary_of(sweep_dir):
    """Return the content of summary.json."""
    return json.loads(json.dumps(summary_in_memory(sweep_dir).as_content(), allow_nan=False))


def text_of(sweep_dir):
    """Return the summary as the terminal shows it."""
    summary = summary_in_memory(sweep_dir)
    return as_text(sweep_dir, summary, {row.run: sweep_dir / row.run for row in summary.runs})


def rows_of(sweep_dir):
    """Return the rows of summary.csv by run."""
    write_summary(sweep_dir, summary_in_memory(sweep_dir))
    with (sweep_dir / "summary.csv").open(newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}
