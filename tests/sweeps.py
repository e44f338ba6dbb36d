"""Sweeps that are written by hand: the files of runs, without a training."""

import csv
import json

import numpy as np
import pandas as pd
import yaml

from btxrd.data.constants import CLASSES
from btxrd.evaluation.bootstrap import scores
from btxrd.evaluation.calibration import clinical_reading
from btxrd.evaluation.selection import Validation
from btxrd.evaluation.shortcuts import score_shortcuts
from btxrd.report.summary import summarize

VAL, TEST = 40, 60


def draw(labels, power, seed):
    """Probabilities that are right more often with more power, in [0, 1]."""
    noise = np.random.default_rng(seed).dirichlet((1, 1, 1), len(labels))
    return noise * (1 - power) + np.eye(3)[labels] * power


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
):
    """Write the files of a run; `skill` is that on val and on test, `noise` seeds what is drawn."""
    centers = centers or ((2, 3) if split == "center" else (1,))
    run_dir = sweep_dir / name
    run_dir.mkdir(parents=True)
    config = {
        "model": {"backbone": backbone, "attn_layer": "cbam"},
        "split": {"strategy": split, "groups": groups, "held_out": list(centers)},
        "annotations": {"kind": "none"},
        "training": {"epochs": 10},
        "seed": seed,
        "evaluate": True,
        "choices": {"experiment": "E9"},
    }
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    status = {"state": state, "seconds": 12.5, "error": error}
    status |= {"started": "2026-01-31T12:00:00.000+00:00", "worker": {"pid": 7, "host": "here"}}
    status["split_hash"] = f"{split}-{groups}"
    (run_dir / "status.json").write_text(json.dumps(status))
    if state != "complete":
        return
    tables, metrics = [], {}
    for partition, n, power in zip(("val", "test"), cases, skill, strict=True):
        labels = np.arange(n) % 3
        probs = draw(labels, power, noise).round(9)
        names = np.array([f"{split}-{partition}{index}" for index in range(n)])
        center = np.array([centers[index // 3 % len(centers)] for index in range(n)])
        metrics[partition] = scores(labels, probs, names, center)
        table = pd.DataFrame(probs, columns=[f"prob_{name}" for name in CLASSES])
        table = table.assign(image_id=names, partition=partition, center=center, group=names)
        tables.append(table.assign(label=[CLASSES[label] for label in labels]))
    columns = ["image_id", "partition", "label", *(f"prob_{name}" for name in CLASSES)]
    val = Validation.of(tables[0][columns])
    metrics["clinical"] = clinical_reading(val, labels, probs, names, center)
    ways = {
        "lesion_painted_out": draw(labels, 0, 5),
        "border_painted_out": probs,
        "center_and_size": draw(labels, 0, 6),
    }
    metrics["shortcuts"] = score_shortcuts(labels, probs, names, ways)
    metrics["looks"] = {"all": looks()}
    predictions = pd.concat(tables)
    predictions[columns].to_csv(run_dir / "predictions.csv", index=False)
    predictions.to_csv(run_dir / "split.csv", index=False)
    epochs = pd.DataFrame({"epoch": [1, 2], "val_loss": [1.0, 0.9], "val_macro_auc": [0.6, 0.7]})
    epochs.assign(seconds=6.0).to_csv(run_dir / "history.csv", index=False)
    (run_dir / "metrics.json").write_text(json.dumps(metrics))


def looks(peak=0.4):
    """What metrics.json says of maps."""
    score = {"value": peak, "low": peak - 0.1, "high": peak + 0.1}
    score |= {"by_chance": 0.02, "of_others": 0.1}
    maps = {"ok": 38, "empty": 1, "saturated": 1}
    return {"n": 40, "maps": maps} | dict.fromkeys(("peak_inside", "energy_inside", "iou"), score)


def summary_of(sweep_dir):
    """Summarize, and read summary.json."""
    summarize([sweep_dir], sweep_dir)
    return json.loads((sweep_dir / "summary.json").read_text())


def read_rows(sweep_dir):
    with (sweep_dir / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))
