"""What a model still tells with a part of the film painted out, and what needs no film at all."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from btxrd.data.batches import Pixels
from btxrd.data.constants import CLASSES, NORMAL, REGIONS, SITES, VIEWS
from btxrd.data.dataset import Dataset
from btxrd.evaluation.bootstrap import Groups, bootstrap_weights, estimate, with_sample
from btxrd.evaluation.inference import predict
from btxrd.evaluation.metrics import Floats, Labels, macro_auc, rate
from btxrd.model.classifier import BTXRDClassifier

BORDER = 0.15  # of the film, along each side: letters, markers and frames lie there
MARGIN = 0.02  # of the film, that a lesion is painted out beyond its outline
RING = 0.06  # of the film, around it, whose mean is the paint
CHUNK = 256  # films that are painted at a time
FILMLESS = {
    "center_and_size": ("center", "width", "height"),
    "table": ("center", "width", "height", "age", "gender", *SITES, *REGIONS, *VIEWS),
}
Mask = npt.NDArray[np.uint8]


def paint_lesion(film: Pixels, region: Mask) -> Pixels:
    """Cover the region, and a margin, with the mean of what surrounds it."""
    covered = _grown(region, MARGIN)
    ring = (_grown(covered, RING) > 0) & (covered == 0)
    paint = film[ring].mean() if ring.any() else film.mean()
    return np.where(covered > 0, np.uint8(paint), film)


def paint_all_but_lesion(film: Pixels, region: Mask) -> Pixels:
    """Black out all but the region and a margin."""
    return np.where(_grown(region, MARGIN) > 0, film, np.uint8(0))


def paint_border(film: Pixels, region: Mask) -> Pixels:
    """Black out a frame, but for the region and a margin where they reach into it."""
    size = len(film)
    edge = round(BORDER * size)
    inner = np.zeros_like(film)
    inner[edge : size - edge, edge : size - edge] = 1
    return np.where((inner > 0) | (_grown(region, MARGIN) > 0), film, np.uint8(0))


PAINTED: dict[str, Callable[[Pixels, Mask], Pixels]] = {
    "lesion_painted_out": paint_lesion,
    "all_but_lesion_painted_out": paint_all_but_lesion,
    "border_painted_out": paint_border,
}


def _grown(region: Mask, by: float) -> Mask:
    reach = max(1, round(by * len(region)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate((region > 0).astype(np.uint8), kernel), dtype=np.uint8)


def paintable(dataset: Dataset, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """(n,): normal films, and tumours whose outline is known."""
    outlined = dataset.cases["stem"].iloc[rows].isin(list(dataset.lesions)).to_numpy(bool)
    return np.asarray(outlined | (dataset.labels[rows] == NORMAL))


def regions(dataset: Dataset, rows: npt.NDArray[np.intp]) -> list[Mask] | None:
    """A region (S, S) for each film: its own lesion, or that of another film where it has none.

    With a region borrowed for each normal film, that there is paint does not tell a tumour; its
    size and place still may, a little. None where no film has a lesion to lend.
    """
    own = dataset.masks(rows)
    if not own:
        return None
    lenders = list(own.values())
    lent = np.random.default_rng(0).integers(len(lenders), size=len(rows))
    return [own.get(int(row), lenders[which]) for row, which in zip(rows, lent, strict=True)]


def predict_painted(
    model: BTXRDClassifier, dataset: Dataset, rows: npt.NDArray[np.intp]
) -> dict[str, Floats]:
    """Probabilities (n, 3) of the films under each of PAINTED; empty where there are no lesions."""
    found: dict[str, Floats] = {}
    areas = regions(dataset, rows)
    if areas is None:
        return found
    for name, paint in PAINTED.items():
        chunks = []
        for start in range(0, len(rows), CHUNK):
            chosen = zip(rows[start : start + CHUNK], areas[start : start + CHUNK], strict=True)
            films = np.stack([paint(dataset.pixels[row], area) for row, area in chosen])
            chunks.append(predict(model, films, np.arange(len(films))))
        found[name] = np.concatenate(chunks)
    return found


def predict_without_film(dataset: Dataset, rows: npt.NDArray[np.intp]) -> dict[str, Floats]:
    """Probabilities (n, 3) by boosted trees that are fitted on train and see columns alone.

    `table` sees all columns but the label and its subtypes, which restate it. BTXRD's sites are
    empty for normals, so this is a measure of what the table gives away.
    """
    train = dataset.rows("train")
    labels = dataset.labels[train]
    found = {}
    for name, columns in FILMLESS.items():
        kept = [column for column in columns if column in dataset.cases.columns]
        table = dataset.cases[kept].apply(_as_numbers, train=train)
        table = table.loc[:, table.iloc[train].notna().any()]
        probs = np.tile(np.bincount(labels, minlength=len(CLASSES)) / len(labels), (len(rows), 1))
        if table.shape[1] > 0 and len(np.unique(labels)) > 1:
            model = HistGradientBoostingClassifier(random_state=0, early_stopping=False)
            with threadpool_limits(1):  # so little work is slowed down by threads
                model.fit(table.iloc[train], labels)
                probs[:, model.classes_] = model.predict_proba(table.iloc[rows])
        found[name] = probs
    return found


def _as_numbers(column: pd.Series, train: npt.NDArray[np.intp]) -> pd.Series:
    """Numbers where train has numbers, else codes; NaN for what is not there."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if numbers.iloc[train].notna().any():
        return numbers
    codes = pd.Series(pd.factorize(column, sort=True)[0], index=column.index, dtype=float)
    return codes.where(codes >= 0)


def score_shortcuts(
    labels: Labels, probs: Floats, groups: Groups, others: dict[str, Floats]
) -> dict[str, Any]:
    """Figures of predictions `others` beside those of the model on the whole film.

    Args:
        labels: (n,).
        probs: (n, 3) on the whole film.
        groups: (n,) the resampled units.
        others: (n, 3) each, by name.

    Returns:
        `macro_auc` and `accuracy` of each with their intervals, and `difference`: in macro AUC,
        from the whole film, on the same cases and resampled together.
    """
    weights = with_sample(bootstrap_weights(groups))
    everyone = np.ones(len(labels), bool)
    whole = macro_auc(labels, probs, weights)
    found = {}
    for name, other in others.items():
        area = macro_auc(labels, other, weights)
        found[name] = {
            "macro_auc": estimate(area),
            "accuracy": estimate(rate(other.argmax(axis=1) == labels, everyone, weights)),
            "difference": estimate(area - whole),
        }
    return found
