"""Scoring: the CSV files of a run to metrics.json, plots and the model card.

It reads files of the run only, so it can be repeated at any time.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.config import read_config
from btxrd.artifacts.metrics import (
    METRICS_FILE,
    Localisation,
    PartitionMetrics,
    RunMetrics,
    VariantMetrics,
    write_metrics,
)
from btxrd.artifacts.sidecar import read_sidecar
from btxrd.artifacts.tables import (
    GRADCAM,
    HISTORY,
    LESION_MAPS,
    PREDICTIONS,
    SHORTCUTS,
    SPLIT,
    Table,
    labels_and_probs,
    read_table,
)
from btxrd.errors import InputError
from btxrd.evaluation.bootstrap import Groups, partition_metrics
from btxrd.evaluation.calibration import calibrate
from btxrd.evaluation.card import write_card
from btxrd.evaluation.formulas import Floats, Labels
from btxrd.evaluation.localisation import summarize_localisation
from btxrd.evaluation.metrics import METRICS
from btxrd.evaluation.plots import draw_plots
from btxrd.evaluation.selection import Validation
from btxrd.evaluation.shortcuts import UNMODIFIED, score_shortcuts

CASE = ["image_id", "partition", "label"]  # columns that tell a case in several files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """Predicted cases.

    Attributes:
        rows: Their rows of a CSV file.
        labels: (n,) in 0..k-1.
        probs: (n, k), rows sum to 1.
        groups: (n,) names of the units that are resampled.
        centers: (n,).
    """

    rows: pd.DataFrame
    labels: Labels
    probs: Floats
    groups: Groups
    centers: Labels


def score(run_dir: Path) -> RunMetrics:
    """Write metrics.json, figures/ and card.md of a run, from its other files.

    If val is test, the metrics of both are the same, and nothing is chosen on val.

    Args:
        run_dir: Folder of a run whose inference is complete.

    Raises:
        InputError: If a file is missing or damaged, or does not fit the others; and if metrics.json
            has a newer format.
    """
    codec.refuse_newer(run_dir / METRICS_FILE, RunMetrics.FORMAT)
    names = read_sidecar(run_dir).class_names
    title = read_config(run_dir).config.split.title
    split = read_table(run_dir, SPLIT)
    predictions = _read_predictions(run_dir, split, names)
    history = read_table(run_dir, HISTORY)
    if history["val_loss"].isna().all():
        raise InputError(f"{run_dir / HISTORY.name}: is damaged (has no epoch)")

    test, val = predictions["test"], predictions.get("val")
    of_test = _of_partition(test, names, title)
    clinical = None
    if val is not None:
        chosen_on = Validation.of(val.rows, names.names)
        clinical = calibrate(chosen_on, test.labels, test.probs, test.groups, test.centers, names)
    metrics = RunMetrics(
        classes=names.names,
        focus=names.focus,
        background=names.background,
        val=of_test if val is None else _of_partition(val, names, title),
        test=of_test,
        clinical=clinical,
        gradcam=_of_maps(run_dir, GRADCAM, names) or {},
        lesion_maps=_of_maps(run_dir, LESION_MAPS, names),
        shortcuts=_of_shortcuts(run_dir, split, names),
    )
    write_metrics(run_dir, metrics)
    draw_plots(run_dir / "figures", test.labels, test.probs, history, names.names)
    write_card(run_dir, metrics)
    log.info("Test: %s", describe(metrics))
    return metrics


def describe(metrics: RunMetrics) -> str:
    """Return the test metrics that the terminal shows, in one line."""
    names, found = metrics.class_names, []
    for metric in METRICS:
        if metric.in_terminal and metric.exists_for(names):
            value = metrics.test.values[metric.key(names)].value
            shown = "undefined" if value is None else f"{value:.3f}"
            found.append(f"{metric.heading(names)} {shown}")
    return ", ".join(found)


def _read_predictions(
    run_dir: Path, split: pd.DataFrame, names: ClassNames
) -> dict[str, Predictions]:
    """Read predictions.csv by partition: test, and val unless val is test."""
    rows = read_table(run_dir, PREDICTIONS, names.names)
    predicted = split[split["partition"].isin(("val", "test"))]
    in_order = [one[CASE].sort_values(CASE).to_numpy().tolist() for one in (rows, predicted)]
    if in_order[0] != in_order[1] or not (rows["partition"] == "test").any():
        raise InputError(
            f"{run_dir / PREDICTIONS.name}: is damaged (its cases are not the val and test cases "
            f"of {SPLIT.name})"
        )
    return {
        str(partition): _join(run_dir / PREDICTIONS.name, part, split, names)
        for partition, part in rows.groupby("partition")
    }


def _join(path: Path, rows: pd.DataFrame, split: pd.DataFrame, names: ClassNames) -> Predictions:
    """Add the groups and centers of split.csv to rows with probabilities."""
    try:
        cases = rows[CASE].merge(split, "left", CASE, validate="many_to_one")
        if cases["group"].isna().any():
            unknown = cases["image_id"][cases["group"].isna()].iloc[0]
            raise ValueError(f"{unknown} has another label or partition in {SPLIT.name}")
        labels, probs = labels_and_probs(rows, names.names)
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error})") from error
    groups, centers = cases["group"].to_numpy(str), cases["center"].to_numpy()
    return Predictions(rows, labels, probs, groups, centers)


def _of_partition(found: Predictions, names: ClassNames, title: str) -> PartitionMetrics:
    metrics = partition_metrics(found.labels, found.probs, found.groups, found.centers, names)
    return replace(metrics, notes=metrics.notes | {"split": title})


def _of_maps(run_dir: Path, table: Table, names: ClassNames) -> dict[str, Localisation] | None:
    """Summarise a table of maps; None if the run has none."""
    if table is LESION_MAPS and not (run_dir / table.name).is_file():
        return None
    return summarize_localisation(read_table(run_dir, table), names)


def _of_shortcuts(
    run_dir: Path, split: pd.DataFrame, names: ClassNames
) -> dict[str, VariantMetrics]:
    """Compute the metrics of every variant; all have the same cases in the same order."""
    path = run_dir / SHORTCUTS.name
    rows = read_table(run_dir, SHORTCUTS, names.names)
    variants = {
        str(name): _join(path, part, split, names)
        for name, part in rows.groupby("variant", sort=False)
    }
    unmodified = variants.get(UNMODIFIED)
    if unmodified is None:
        raise InputError(f"{path}: is damaged (has no rows with variant={UNMODIFIED})")
    ids = unmodified.rows["image_id"].tolist()
    for name, variant in variants.items():
        if variant.rows["image_id"].tolist() != ids:
            raise InputError(f"{path}: is damaged (variant={name} has other cases)")
    return score_shortcuts(
        unmodified.labels,
        unmodified.probs,
        unmodified.groups,
        {name: variant.probs for name, variant in variants.items()},
    )
