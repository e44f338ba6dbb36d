"""Predict class probabilities from images, from masked images, and without pixels.

The predictions on masked images and those without pixels help to find shortcuts.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.data.constants import REGIONS, SITES, VIEWS
from btxrd.data.dataset import Dataset
from btxrd.data.groups import comparable
from btxrd.evaluation.formulas import Floats
from btxrd.model.classifier import BTXRDClassifier

BORDER = 0.15  # share of each side of the image; the border has letters, markers and frames
MARGIN = 0.02  # share of the side of the image, by which a mask exceeds the outline
RING = 0.06  # share of the side of the image; width of the ring whose mean fills the mask
CHUNK = 256  # number of images that are masked at a time
WITHOUT_PIXELS = {  # columns that each baseline without pixel input uses
    "center_and_size": ("center", "width", "height"),
    "table": ("center", "width", "height", "age", "gender", *SITES, *REGIONS, *VIEWS),
}
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.uint8]


@torch.inference_mode()
def predict(model: BTXRDClassifier, pixels: Pixels, rows: Rows) -> Floats:
    """Predict the class probabilities of images in float32; see `views` for augmentation.

    Args:
        model: Model; its training or evaluation mode is restored afterwards.
        pixels: (n, S, S) uint8, all images.
        rows: Rows of the images to predict.

    Returns:
        (len(rows), num_classes) float64 probabilities, rows sum to 1.
    """
    was_training = model.training
    model.eval()
    batches = evaluation_batches(pixels, rows, model.normalisation, device=model.device)
    chunks = []
    for images in batches:
        logits = torch.stack([model(view) for view in views(model, images)])
        chunks.append(logits.cpu().double().softmax(dim=2).mean(0))
    model.train(was_training)
    probs: Floats = torch.cat(chunks).numpy()
    return probs


def views(model: BTXRDClassifier, images: Tensor) -> list[Tensor]:
    """Return a batch (B, C, H, W), and with test-time augmentation also its mirror images."""
    return [images, images.flip(3)] if model.test_flip else [images]


def mask_lesion(image: Pixels, region: Mask) -> Pixels:
    """Fill the region and a margin with the mean of the ring around them."""
    covered = _grown(region, MARGIN)
    ring = (_grown(covered, RING) > 0) & (covered == 0)
    fill = image[ring].mean() if ring.any() else image.mean()
    return np.where(covered > 0, np.uint8(fill), image)


def mask_all_but_lesion(image: Pixels, region: Mask) -> Pixels:
    """Black out everything except the region and a margin."""
    return np.where(_grown(region, MARGIN) > 0, image, np.uint8(0))


def mask_border(image: Pixels, region: Mask) -> Pixels:
    """Black out the border, except for the region and a margin."""
    size = len(image)
    edge = round(BORDER * size)
    inner = np.zeros_like(image)
    inner[edge : size - edge, edge : size - edge] = 1
    return np.where((inner > 0) | (_grown(region, MARGIN) > 0), image, np.uint8(0))


MASKED: dict[str, Callable[[Pixels, Mask], Pixels]] = {
    "lesion_masked": mask_lesion,
    "all_but_lesion_masked": mask_all_but_lesion,
    "border_masked": mask_border,
}


def _grown(region: Mask, by: float) -> Mask:
    reach = max(1, round(by * len(region)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate((region > 0).astype(np.uint8), kernel), dtype=np.uint8)


def can_be_masked(dataset: Dataset, rows: Rows, background: int | None) -> npt.NDArray[np.bool_]:
    """Return (n,) whether each image has an outline or is of the background class."""
    outlined = dataset.cases["stem"].iloc[rows].isin(list(dataset.lesions)).to_numpy(bool)
    return np.asarray(outlined | (dataset.labels[rows] == background))


def regions(dataset: Dataset, rows: Rows) -> list[Mask] | None:
    """Return a region (S, S) for each image: its own lesion, or the lesion of another image.

    Images of the background class are masked too, so that the presence of a mask does not reveal a
    tumour. Its size and location may still reveal it to a small degree.

    Returns:
        One mask per image; None if no image has a lesion.
    """
    own = dataset.masks(rows)
    if not own:
        return None
    lenders = list(own.values())
    lent = np.random.default_rng(0).integers(len(lenders), size=len(rows))
    return [own.get(int(row), lenders[which]) for row, which in zip(rows, lent, strict=True)]


def predict_masked(model: BTXRDClassifier, dataset: Dataset, rows: Rows) -> dict[str, Floats]:
    """Predict images under each variant of `MASKED`.

    Returns:
        (n, k) probabilities by variant; empty if no image has a lesion.
    """
    found: dict[str, Floats] = {}
    areas = regions(dataset, rows)
    if areas is None:
        return found
    for name, mask in MASKED.items():
        chunks = []
        for start in range(0, len(rows), CHUNK):
            chosen = zip(rows[start : start + CHUNK], areas[start : start + CHUNK], strict=True)
            images = np.stack([mask(dataset.pixels[row], area) for row, area in chosen])
            chunks.append(predict(model, images, np.arange(len(images))))
        found[name] = np.concatenate(chunks)
    return found


def predict_without_pixels(dataset: Dataset, rows: Rows, classes: int) -> dict[str, Floats]:
    """Predict with gradient-boosted trees on columns of the table, fitted on train.

    The columns include the width and height of the image, but neither the label nor the subtypes,
    which imply it. In BTXRD, the sites are empty for all cases of the background class, so the
    baseline `table` shows how much the table reveals.

    Args:
        dataset: Data of the run.
        rows: Rows of the n cases to predict.
        classes: Number k of classes.

    Returns:
        (n, k) probabilities by baseline. Without a usable column, they are the class frequencies in
        train.
    """
    train = dataset.rows("train")
    labels = dataset.labels[train]
    found = {}
    for name, columns in WITHOUT_PIXELS.items():
        kept = [column for column in columns if column in dataset.cases.columns]
        table = dataset.cases[kept].apply(_as_numbers, train=train)
        table = table.loc[:, table.iloc[train].notna().any()]
        probs = np.tile(np.bincount(labels, minlength=classes) / len(labels), (len(rows), 1))
        if table.shape[1] > 0 and len(np.unique(labels)) > 1:
            model = HistGradientBoostingClassifier(random_state=0, early_stopping=False)
            with threadpool_limits(1):  # more threads would slow down such a small fit
                model.fit(table.iloc[train], labels)
                probs[:, model.classes_] = model.predict_proba(table.iloc[rows])
        found[name] = probs
    return found


def _as_numbers(column: pd.Series, train: Rows) -> pd.Series:
    """Return a column as numbers if train has numbers, otherwise as codes; NaN if missing."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if numbers.iloc[train].notna().any():
        return numbers
    cells = comparable(column)
    cells = cells.where(cells != "")
    codes = pd.Series(pd.factorize(cells, sort=True)[0], index=column.index, dtype=float)
    return codes.where(codes >= 0)
