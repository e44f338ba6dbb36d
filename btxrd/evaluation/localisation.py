"""Summarise localisation scores, from the rows of gradcam.csv or lesion_maps.csv."""

import pandas as pd

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.scores.localisation import Localisation, MapCounts, MapScore
from btxrd.evaluation.bootstrap import bootstrap_weights, estimate, with_sample
from btxrd.evaluation.formulas import Floats, mean

OK, EMPTY, SATURATED = "ok", "empty", "saturated"  # kinds of maps
SCORES = ("peak_inside", "energy_inside", "iou")
BY_CHANCE = {  # column with the chance level of a score
    "peak_inside": "lesion_share",
    "energy_inside": "lesion_share",
    "iou": "iou_by_chance",
}
SIZES = {  # subsets of the lesions by their share of the image
    "lesion under 1%": (0, 0.01),
    "lesion 1% to 5%": (0.01, 0.05),
    "lesion over 5%": (0.05, 2),
}
OF_OTHERS = {name: f"{name}_of_others" for name in SCORES}  # column with the score of other maps


def summarize_localisation(table: pd.DataFrame, names: ClassNames) -> dict[str, Localisation]:
    """Summarise the maps of a run for all its tumours and for subsets of them.

    Args:
        table: Rows of gradcam.csv or lesion_maps.csv.
        names: Class names.

    Returns:
        Scores by subset: `all`; `right` and `wrong` predictions; each class with a lesion; bands of
        lesion size; each center. Subsets without a tumour are left out. Maps that are not OK are
        counted, but not scored.
    """
    if table.empty:
        return {}
    weights = with_sample(bootstrap_weights(table["group"].to_numpy(str)))
    right = table["label"] == table["predicted"]
    subsets = {"all": right | True, "right": right, "wrong": ~right}
    subsets |= {name: table["label"] == name for name in names.with_lesion}
    subsets |= {
        name: table["lesion_share"].between(*ends, inclusive="left") for name, ends in SIZES.items()
    }
    subsets |= {f"center {name}": table["center"] == name for name in table["center"].unique()}
    return {
        name: _summarize(table[chosen], weights[:, chosen.to_numpy()])
        for name, chosen in subsets.items()
        if chosen.any()
    }


def _summarize(table: pd.DataFrame, weights: Floats) -> Localisation:
    usable = (table["map"] == OK).to_numpy()
    counts = MapCounts(*(int((table["map"] == kind).sum()) for kind in (OK, EMPTY, SATURATED)))
    shown, weights = table[usable], weights[:, usable]
    units = shown["group"].nunique()
    scores = {}
    for name in SCORES:
        found = estimate(mean(shown[name].to_numpy(float), weights), units)
        by_chance, of_others = (_mean(shown[column[name]]) for column in (BY_CHANCE, OF_OTHERS))
        scores[name] = MapScore(found.value, found.low, found.high, by_chance, of_others)
    return Localisation(len(table), counts, **scores)


def _mean(values: "pd.Series[float]") -> float | None:
    return float(values.mean()) if values.notna().any() else None
