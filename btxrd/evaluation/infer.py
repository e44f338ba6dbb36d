"""A trained classifier -> the files that its figures, and all that is said of it, rest on."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from btxrd.data.constants import CLASSES
from btxrd.data.dataset import Dataset
from btxrd.evaluation.bootstrap import Groups, scores
from btxrd.evaluation.calibration import clinical_reading
from btxrd.evaluation.gradcam import explain_run
from btxrd.evaluation.inference import predict
from btxrd.evaluation.metrics import Floats, Labels
from btxrd.evaluation.plots import draw_figures
from btxrd.evaluation.selection import Validation
from btxrd.evaluation.shortcuts import (
    paintable,
    predict_painted,
    predict_without_film,
    score_shortcuts,
)
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write, write_json

log = logging.getLogger(__name__)

DECIMALS = 9  # of a probability on disk; the figures are computed from what is on disk


def evaluate_run(model: BTXRDClassifier, dataset: Dataset, split: str, run_dir: Path) -> None:
    """Write predictions.csv, shortcuts.csv, metrics.json, the maps and the pictures of test.

    Where val is test, each case is listed once, as test, the figures are the same, and nothing is
    chosen on val.

    Args:
        model: of the kept epoch.
        dataset: of the run.
        split: its title.
        run_dir: of the run; holds history.csv.
    """
    metrics: dict[str, Any] = {}
    predictions = []
    for partition in ("test",) if dataset.val_is_test else ("val", "test"):
        rows = dataset.rows(partition)
        cases, labels = dataset.cases.iloc[rows], dataset.labels[rows]
        probs = predict(model, dataset.pixels, rows).round(DECIMALS)
        groups, centers = cases["group"].to_numpy(str), cases["center"].to_numpy()
        metrics[partition] = scores(labels, probs, groups, centers)
        metrics[partition]["notes"]["split"] = split
        predictions.append(_table(cases, labels, probs))
    metrics.setdefault("val", metrics["test"])
    metrics["clinical"] = None
    if not dataset.val_is_test:
        val = Validation.of(predictions[0])
        metrics["clinical"] = clinical_reading(val, labels, probs, groups, centers)
    _write_table(run_dir / "predictions.csv", pd.concat(predictions))
    metrics["shortcuts"] = _write_shortcuts(model, dataset, labels, probs, groups, run_dir)
    draw_figures(run_dir / "figures", labels, probs, pd.read_csv(run_dir / "history.csv"))
    metrics |= explain_run(run_dir, model, dataset, probs)
    write_json(run_dir / "metrics.json", metrics)
    found = {name: metrics["test"][name]["value"] for name in ("accuracy", "macro_auc")}
    log.info("test: accuracy %.3f, macro AUC %.3f", *found.values())


def _write_shortcuts(
    model: BTXRDClassifier,
    dataset: Dataset,
    labels: Labels,
    probs: Floats,
    groups: Groups,
    run_dir: Path,
) -> dict[str, Any]:
    """Write shortcuts.csv, a row a way and test case that can be painted; returns its figures."""
    chosen = paintable(dataset, dataset.rows("test"))
    rows, labels, groups = dataset.rows("test")[chosen], labels[chosen], groups[chosen]
    ways = {"whole_film": probs[chosen], **predict_painted(model, dataset, rows)}
    ways |= predict_without_film(dataset, rows)
    ways = {name: found.round(DECIMALS) for name, found in ways.items()}
    tables = [
        _table(dataset.cases.iloc[rows], labels, found).assign(way=name)
        for name, found in ways.items()
    ]
    _write_table(run_dir / "shortcuts.csv", pd.concat(tables))
    return score_shortcuts(labels, probs[chosen], groups, ways)


def _table(cases: pd.DataFrame, labels: Labels, probs: Floats) -> pd.DataFrame:
    table = cases[["image_id", "partition"]].assign(label=[CLASSES[label] for label in labels])
    return table.assign(**{f"prob_{name}": probs[:, label] for label, name in enumerate(CLASSES)})


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with atomic_write(path) as beside:
        table.to_csv(beside, index=False, float_format=f"%.{DECIMALS}f")
