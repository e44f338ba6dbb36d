"""Inference: from a trained model and images to the CSV files that metrics are computed from."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.tables import (
    GRADCAM,
    LESION_MAPS,
    PREDICTIONS,
    PROBABILITY,
    SHORTCUTS,
    Table,
    write_table,
)
from btxrd.data.dataset import Dataset
from btxrd.evaluation.examples import draw_examples, draw_gallery
from btxrd.evaluation.formulas import Floats
from btxrd.evaluation.gradcam import Map, gradcam_maps, lesion_maps, score_maps
from btxrd.evaluation.inference import (
    can_be_masked,
    predict,
    predict_masked,
    predict_without_pixels,
)
from btxrd.evaluation.shortcuts import UNMODIFIED
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write

Rows = npt.NDArray[np.intp]


def infer(model: BTXRDClassifier, dataset: Dataset, run_dir: Path) -> None:
    """Write predictions.csv, shortcuts.csv, and the maps and pictures of the test images.

    If val and test are the same cases, each case is listed once, as test.

    Args:
        model: Model with the weights of the best epoch, in evaluation mode.
        dataset: Data of the run.
        run_dir: Folder of the run.

    Raises:
        InputError: If the Grad-CAM layer does not give a map.
    """
    names = dataset.class_names
    tables = []
    for partition in ("test",) if dataset.val_is_test else ("val", "test"):
        rows = dataset.rows(partition)
        probs = predict(model, dataset.pixels, rows)
        tables.append(_rows_of(dataset, rows, probs, names))
    write_table(run_dir, PREDICTIONS, pd.concat(tables), names.names)
    probs = probs.round(PREDICTIONS.decimals or 0)  # as in the file, so that ties are the same
    _write_shortcuts(run_dir, model, dataset, probs, names)
    _write_maps(run_dir, model, dataset, probs, names)


def _rows_of(dataset: Dataset, rows: Rows, probs: Floats, names: ClassNames) -> pd.DataFrame:
    table = dataset.cases.iloc[rows][["image_id", "partition"]]
    table = table.assign(label=[names.names[label] for label in dataset.labels[rows]])
    columns = {PROBABILITY.format(name): probs[:, label] for label, name in enumerate(names.names)}
    return table.assign(**columns)


def _write_shortcuts(
    run_dir: Path, model: BTXRDClassifier, dataset: Dataset, probs: Floats, names: ClassNames
) -> None:
    """Write shortcuts.csv: one row per variant and test case that can be masked."""
    test = dataset.rows("test")
    chosen = can_be_masked(dataset, test, names.background_label)
    rows = test[chosen]
    variants = {UNMODIFIED: probs[chosen], **predict_masked(model, dataset, rows)}
    variants |= predict_without_pixels(dataset, rows, len(names))
    tables = [
        _rows_of(dataset, rows, found, names).assign(variant=name)
        for name, found in variants.items()
    ]
    write_table(run_dir, SHORTCUTS, pd.concat(tables), names.names)


def _write_maps(
    run_dir: Path, model: BTXRDClassifier, dataset: Dataset, probs: Floats, names: ClassNames
) -> None:
    """Write gradcam.csv, gradcam/ and gallery/, and with a lesion head also the lesion maps.

    The tables have one row per test tumour with an outline. Grad-CAM in the tables is that of the
    true class; Grad-CAM in the pictures is that of the predicted class.
    """
    rows, size = dataset.rows("test"), dataset.pixels.shape[1]
    masks = dataset.masks(rows)
    test = dataset.cases.iloc[rows].assign(
        predicted=probs.argmax(axis=1), confidence=probs.max(axis=1)
    )
    tumours = test.loc[list(masks)]

    def write_scores(table: Table, maps: Iterable[Map]) -> None:
        found = tumours[["image_id", "center", "group"]].reset_index(drop=True)
        for column in ("label", "predicted"):
            found[column] = [names.names[label] for label in tumours[column]]
        found = found.join(score_maps(maps, list(masks.values())))
        write_table(run_dir, table, found)

    of_tumours = np.array(list(masks), int)
    write_scores(
        GRADCAM, gradcam_maps(model, dataset.pixels, of_tumours, tumours["label"].to_numpy())
    )
    own: dict[int, Map] = {}
    if model.lesion_head is not None:
        own = dict(zip(rows.tolist(), lesion_maps(model, dataset.pixels, rows), strict=True))
        with atomic_write(run_dir / "lesion_maps.npz") as temporary, temporary.open("wb") as file:
            stacked = np.stack(list(own.values())).astype(np.float16)
            np.savez(file, image_id=test["image_id"].to_numpy(str), maps=stacked)
        write_scores(LESION_MAPS, (cv2.resize(own[row], (size, size)) for row in masks))
    draw_examples(run_dir / "gradcam", model, dataset, test, own, names)
    draw_gallery(run_dir, model, dataset, test, probs, names)
