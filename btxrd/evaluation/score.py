"""Scoring: from the CSV files of a run to metrics.json, plots and the model card.

It needs only files of the run, so it can be repeated without the model and the images.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from btxrd.artifacts import codec
from btxrd.artifacts.checked import (
    CASE,
    read_history,
    read_maps,
    read_predictions,
    read_shortcuts,
    read_split,
)
from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.config import read_config
from btxrd.artifacts.metrics import METRICS_FILE, RunMetrics, write_metrics
from btxrd.artifacts.scores.estimates import PartitionMetrics
from btxrd.artifacts.scores.localisation import Localisation, VariantMetrics
from btxrd.artifacts.sidecar import read_sidecar
from btxrd.artifacts.tables import (
    GRADCAM,
    HISTORY,
    LESION_MAPS,
    SHORTCUTS,
    Table,
    labels_and_probs,
)
from btxrd.errors import DamagedError
from btxrd.evaluation.bootstrap import Groups, partition_metrics
from btxrd.evaluation.calibration import calibrate
from btxrd.evaluation.card import CARD, card_of, warnings_about
from btxrd.evaluation.formulas import Floats, Labels
from btxrd.evaluation.localisation import summarize_localisation
from btxrd.evaluation.metrics import METRICS
from btxrd.evaluation.plots import draw_plots
from btxrd.evaluation.selection import Validation
from btxrd.evaluation.shortcuts import UNMODIFIED, score_shortcuts
from btxrd.runtime.files import is_there, write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """Predictions for n cases.

    Attributes:
        rows: Rows of the CSV file.
        labels: (n,) labels in 0..k-1.
        probs: (n, k) probabilities; rows sum to 1.
        groups: (n,) name of the group of each case.
        centers: (n,) number of the center of each case.
    """

    rows: pd.DataFrame
    labels: Labels
    probs: Floats
    groups: Groups
    centers: Labels


def score(run_dir: Path, writing: AbstractContextManager[object] | None = None) -> RunMetrics:
    """Write metrics.json, figures/ and card.md of a run, from its other files.

    If val and test are the same cases, their metrics are the same, and neither a temperature nor an
    operating point is chosen.

    Args:
        run_dir: Folder of a run whose inference is complete.
        writing: Context manager that is entered after the computation, and left after the files are
            written.

    Returns:
        Content of metrics.json.

    Raises:
        InputError: If a file is missing or damaged, if it does not fit the others, or if
            metrics.json has a newer format.
        OSError: If a file cannot be read or written.
    """
    codec.refuse_newer(run_dir / METRICS_FILE, RunMetrics.FORMAT)
    names = read_sidecar(run_dir).class_names
    title = read_config(run_dir).config.split.title
    split = read_split(run_dir)
    predictions = _read_predictions(run_dir, split, names)
    history = read_history(run_dir)
    if history.empty:
        raise DamagedError(f"{run_dir / HISTORY.name}: is damaged (has no epoch)")

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
        gradcam=_of_maps(run_dir, GRADCAM, names, split) or {},
        lesion_maps=_of_maps(run_dir, LESION_MAPS, names, split),
        shortcuts=_of_shortcuts(run_dir, split, names),
    )
    card = card_of(run_dir, metrics)
    with writing or nullcontext():
        write_metrics(run_dir, metrics)
        draw_plots(run_dir / "figures", test.labels, test.probs, history, names.names)
        write_text(run_dir / CARD, card)
    log.info("Test: %s", describe(metrics))
    for warning in warnings_about(metrics):
        log.warning(warning)
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
    """Read predictions.csv, by partition: `test`, and `val` unless val is test."""
    rows = read_predictions(run_dir, names.names, split)
    return {
        str(partition): _join(part, split, names) for partition, part in rows.groupby("partition")
    }


def _join(rows: pd.DataFrame, split: pd.DataFrame, names: ClassNames) -> Predictions:
    """Return the predictions in rows, with the groups and centers of split.csv."""
    cases = rows[CASE].merge(split, "left", CASE, validate="many_to_one")
    labels, probs = labels_and_probs(rows, names.names)
    groups, centers = cases["group"].to_numpy(str), cases["center"].to_numpy()
    return Predictions(rows, labels, probs, groups, centers)


def _of_partition(found: Predictions, names: ClassNames, title: str) -> PartitionMetrics:
    metrics = partition_metrics(found.labels, found.probs, found.groups, found.centers, names)
    return replace(metrics, notes=metrics.notes | {"split": title})


def _of_maps(
    run_dir: Path, table: Table, names: ClassNames, split: pd.DataFrame
) -> dict[str, Localisation] | None:
    """Summarise a table of maps; None if the run has no lesion maps."""
    if table is LESION_MAPS and not is_there(run_dir / table.name):
        return None
    return summarize_localisation(read_maps(run_dir, table, names.names, split), names)


def _of_shortcuts(
    run_dir: Path, split: pd.DataFrame, names: ClassNames
) -> dict[str, VariantMetrics]:
    """Compute the metrics of each variant, after a check that all have the same cases in order."""
    path = run_dir / SHORTCUTS.name
    rows = read_shortcuts(run_dir, names.names, split)
    variants = {
        str(name): _join(part, split, names) for name, part in rows.groupby("variant", sort=False)
    }
    unmodified = variants.get(UNMODIFIED)
    if unmodified is None:
        raise DamagedError(f"{path}: is damaged (has no rows with variant={UNMODIFIED})")
    ids = unmodified.rows["image_id"].tolist()
    for name, variant in variants.items():
        if variant.rows["image_id"].tolist() != ids:
            raise DamagedError(f"{path}: is damaged (variant={name} has other cases)")
    return score_shortcuts(
        unmodified.labels,
        unmodified.probs,
        unmodified.groups,
        {name: variant.probs for name, variant in variants.items()},
    )
