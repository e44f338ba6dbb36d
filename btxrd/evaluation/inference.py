"""Predict class probabilities: from images, from masked images, and from the table alone.

The latter two reveal shortcuts.
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

BORDER = 0.15  # of the image, along each side: letters, markers and frames are there
MARGIN = 0.02  # of the image, by which the mask of a lesion exceeds its outline
RING = 0.06  # of the image, around the mask, whose mean fills it
CHUNK = 256  # images that are masked at a time
WITHOUT_PIXELS = {  # columns that each baseline without pixel input uses
    "center_and_size": ("center", "width", "height"),
    "table": ("center", "width", "height", "age", "gender", *SITES, *REGIONS, *VIEWS),
}
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.uint8]


@torch.inference_mode()
def predict(model: BTXRDClassifier, pixels: Pixels, rows: Rows) -> Floats:
    """Predict each of some images once, in float32; see `views` for test-time augmentation.

    Args:
        model: Model, left in the mode that it was in.
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
    """Return a batch, and with test-time augmentation its mirror images."""
    return [images, images.flip(3)] if model.test_flip else [images]


def mask_lesion(image: Pixels, region: Mask) -> Pixels:
    """Fill the region and a margin with the mean of their surroundings."""
    covered = _grown(region, MARGIN)
    ring = (_grown(covered, RING) > 0) & (covered == 0)
    fill = image[ring].mean() if ring.any() else image.mean()
    return np.where(covered > 0, np.uint8(fill), image)


def mask_all_but_lesion(image: Pixels, region: Mask) -> Pixels:
    """Black out everything except the region and a margin."""
    return np.where(_grown(region, MARGIN) > 0, image, np.uint8(0))


def mask_border(image: Pixels, region: Mask) -> Pixels:
    """Black out a frame, except where the region and a margin reach into it."""
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
    """Return (n,) whether an image has an outline, or is of the background class."""
    outlined = dataset.cases["stem"].iloc[rows].isin(list(dataset.lesions)).to_numpy(bool)
    return np.asarray(outlined | (dataset.labels[rows] == background))


def regions(dataset: Dataset, rows: Rows) -> list[Mask] | None:
    """Return a region (S, S) for each image: its own lesion, or one borrowed from another image.

    Images of the background class are masked too, so that a mask does not reveal a tumour. Its size
    and place still may, to a small degree. None if no image has a lesion to lend.
    """
    own = dataset.masks(rows)
    if not own:
        return None
    lenders = list(own.values())
    lent = np.random.default_rng(0).integers(len(lenders), size=len(rows))
    return [own.get(int(row), lenders[which]) for row, which in zip(rows, lent, strict=True)]


def predict_masked(model: BTXRDClassifier, dataset: Dataset, rows: Rows) -> dict[str, Floats]:
    """Predict images under each variant of MASKED: (n, k); empty if there are no lesions."""
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
    """Predict (n, k) by gradient-boosted trees on columns of the table, fitted on train.

    `table` uses neither the label nor the subtypes, which imply it. Sites are empty for all cases
    of the background class in BTXRD, so this baseline shows how much the table reveals.
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
            with threadpool_limits(1):  # more threads make so small a fit slower
                model.fit(table.iloc[train], labels)
                probs[:, model.classes_] = model.predict_proba(table.iloc[rows])
        found[name] = probs
    return found


def _as_numbers(column: pd.Series, train: Rows) -> pd.Series:
    """Convert to numbers if train has numbers, else to codes; missing values become NaN."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if numbers.iloc[train].notna().any():
        return numbers
    cells = comparable(column)
    cells = cells.where(cells != "")
    codes = pd.Series(pd.factorize(cells, sort=True)[0], index=column.index, dtype=float)
    return codes.where(codes >= 0)
