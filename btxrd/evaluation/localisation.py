"""How maps lie on lesions: pure functions of arrays and of the rows of gradcam.csv."""

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.data.constants import CLASSES
from btxrd.evaluation.bootstrap import bootstrap_weights, estimate, with_sample
from btxrd.evaluation.metrics import Floats, mean

Map = npt.NDArray[np.float32]
Masks = list[npt.NDArray[np.uint8]]
OK, EMPTY, SATURATED = "ok", "empty", "saturated"  # what a map is
FLAT = 0.9  # of the film, above half of the peak: such a map points nowhere
SMALL = 64  # pixels along each side, at which maps are laid on each other's lesions
SCORES = ("peak_inside", "energy_inside", "iou")
BY_CHANCE = ("lesion_share", "lesion_share", "iou_by_chance")  # of SCORES, for a map of noise
OF_OTHERS = tuple(f"{name}_of_others" for name in SCORES)  # of SCORES, for maps of other films


def kind_of(heat: Map) -> str:
    """Tell whether a map (S, S) points somewhere: OK, EMPTY or SATURATED."""
    if heat.max() <= 0:
        return EMPTY
    return SATURATED if (heat > heat.max() / 2).mean() > FLAT else OK


def score_maps(maps: Iterable[Map], masks: Masks) -> pd.DataFrame:
    """Say how each map lies on its lesion.

    Args:
        maps: n of (S, S), not negative; taken one at a time.
        masks: n of (S, S), 1 on the lesion.

    Returns:
        A row a map: `map`, see `kind_of`; `lesion_share` of the film; `peak_inside` (1 or 0), the
        pointing game of Zhang et al. 2018; `energy_inside`, the share of the map's sum (Wang et al.
        2020); `iou` of the lesion and the map's highest part of the lesion's own area; what noise
        gives, which is `lesion_share` for the first two and `iou_by_chance` for the third; and what
        the OK maps of other films give on this lesion, `..._of_others`: lesions have their
        favourite places. Scores are empty for a map that is not OK.
    """
    kinds, scores, small = [], [], []
    for heat, mask in zip(maps, masks, strict=True):
        kinds.append(kind_of(heat))
        scores.append(_score(heat, mask > 0) if kinds[-1] == OK else (np.nan,) * 3)
        small.append(cv2.resize(heat, (SMALL, SMALL)))
    table = pd.DataFrame({"map": kinds, "lesion_share": [float((m > 0).mean()) for m in masks]})
    table["iou_by_chance"] = table["lesion_share"] / (2 - table["lesion_share"])
    table[list(SCORES)] = np.array(scores).reshape(-1, 3)
    table[list(OF_OTHERS)] = _of_others(
        np.array(small, np.float32).reshape(-1, SMALL**2), masks, np.array(kinds) == OK
    )
    table["peak_inside"] = table["peak_inside"].astype("Int64")
    return table[["map", "lesion_share", *SCORES, "iou_by_chance", *OF_OTHERS]]


def _score(heat: Map, lesion: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """`SCORES` of one map."""
    flat, inside = heat.ravel(), lesion.ravel()
    area = max(1, int(inside.sum()))
    highest = np.argpartition(flat, -area)[-area:]
    highest = highest[flat[highest] > 0]
    both = int(inside[highest].sum())
    iou = both / (area + len(highest) - both)
    return float(inside[flat.argmax()]), float(flat[inside].sum() / flat.sum()), iou


def _of_others(
    small: npt.NDArray[np.float32], masks: Masks, usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """(n, 3): mean `SCORES` of the usable maps (n, SMALL^2) of other films on each lesion."""
    found = np.full((len(small), 3), np.nan)
    for row, mask in enumerate(masks):
        lesion = cv2.resize(mask.astype(np.float32), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        others = np.flatnonzero(usable & (np.arange(len(small)) != row))
        found[row] = _mean_score(small[others], lesion.ravel())
    return found


def _mean_score(
    heat: npt.NDArray[np.float32], lesion: npt.NDArray[np.float32]
) -> tuple[float, ...]:
    """Mean `SCORES` of maps (n, pixels) on one lesion, given as the share of each pixel in it."""
    if not len(heat):
        return (np.nan,) * 3
    area = max(1, round(float(lesion.sum())))
    peak = lesion[heat.argmax(axis=1)].mean()
    energy = (heat @ lesion / heat.sum(axis=1)).mean()
    highest = np.argpartition(heat, -area, axis=1)[:, -area:]
    both = (lesion[highest] * (np.take_along_axis(heat, highest, 1) > 0)).sum(axis=1)
    return float(peak), float(energy), float((both / (lesion.sum() + area - both)).mean())


def summarize_looks(table: pd.DataFrame) -> dict[str, Any]:
    """Sum up how the maps of a run lie on their lesions.

    Args:
        table: the rows of gradcam.csv.

    Returns:
        For `all` tumours and for those of each `label`, of each `center`, called `right` and
        `wrong`: how many maps are OK, EMPTY and SATURATED; and of the OK ones each of SCORES with
        an interval over groups, its mean `by_chance` and `of_others`. Empty without tumours.
    """
    if table.empty:
        return {}
    weights = with_sample(bootstrap_weights(table["group"].to_numpy(str)))
    right = table["label"] == table["called"]
    parts = {"all": right | True, "right": right, "wrong": ~right}
    parts |= {name: table["label"] == name for name in CLASSES[1:]}
    parts |= {f"center {center}": table["center"] == center for center in table["center"].unique()}
    return {
        name: _looks(table[chosen], weights[:, chosen.to_numpy()])
        for name, chosen in parts.items()
        if chosen.any()
    }


def _looks(table: pd.DataFrame, weights: Floats) -> dict[str, Any]:
    usable = (table["map"] == OK).to_numpy()
    counts = {kind: int((table["map"] == kind).sum()) for kind in (OK, EMPTY, SATURATED)}
    found: dict[str, Any] = {"n": len(table), "maps": counts}
    for name, by_chance, of_others in zip(SCORES, BY_CHANCE, OF_OTHERS, strict=True):
        shown = table[usable]
        values = mean(shown[name].to_numpy(float), weights[:, usable])
        found[name] = estimate(values) | {
            "by_chance": _mean(shown[by_chance]),
            "of_others": _mean(shown[of_others]),
        }
    return found


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None
