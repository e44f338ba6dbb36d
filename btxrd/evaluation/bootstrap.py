"""Figures with bootstrap intervals over groups."""

from typing import Any

import numpy as np
import numpy.typing as npt

from btxrd.data.constants import CLASSES, HEADLINE, PER_CLASS
from btxrd.evaluation.metrics import Floats, Labels, confusion, figures

RESAMPLES = 2000
LEVEL = 0.95
SEED = 0
Groups = npt.NDArray[np.generic]
Estimate = dict[str, float | None]  # value, low, high

WHY = {
    "auc": "all cases are of this class, or none is",
    "average_precision": "no case is of this class",
    "sensitivity": "no case is of this class",
    "specificity": "all cases are of this class",
    "precision": "no case is called this class",
    "macro_auc": "a class is absent",
    "malignant_called_normal": "no case is malignant",
}


def bootstrap_weights(groups: Groups, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Draw groups with replacement.

    Args:
        groups: (n,) names; cases of one group are drawn together.
        resamples: rows.
        seed: of the draw.

    Returns:
        (resamples, n): how often each case is in each resample.
    """
    names, group = np.unique(groups, return_inverse=True)
    draw = np.random.default_rng(seed)
    counts = draw.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return counts[:, group].astype(float)


def interval(value: float, resampled: Floats) -> tuple[float | None, float | None]:
    """Percentile interval (Efron and Tibshirani 1993), over the resamples that have a value.

    It is widened to hold `value`: the calibration error is larger in nearly every resample than in
    the sample, so its plain percentiles can miss it.
    """
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(min(low, value)), float(max(high, value))


def estimate(values: Floats) -> Estimate:
    """A figure with its interval; all null where it cannot be computed.

    Args:
        values: (1 + resamples,), the figure itself first.
    """
    value = float(values[0])
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = interval(value, values[1:])
    return {"value": value, "low": low, "high": high}


def with_sample(weights: Floats) -> Floats:
    """Put the sample itself, each case once, before its resamples; see `estimate`."""
    return np.vstack([np.ones(weights.shape[1]), weights])


def scores(labels: Labels, probs: Floats, groups: Groups, centers: Labels) -> dict[str, Any]:
    """Score one partition: every figure with its interval, as metrics.json holds it.

    Args:
        labels: (n,) in 0..k-1.
        probs: (n, k), rows sum to 1.
        groups: (n,) the resampled units.
        centers: (n,).

    Returns:
        `n`, the HEADLINE figures, `per_class`, `per_center`, `confusion`, and `notes`: why a figure
        is null, by its name.
    """
    weights = bootstrap_weights(groups)
    found = _with_intervals(labels, probs, weights)
    result: dict[str, Any] = {"n": len(labels)} | {name: found[name] for name in HEADLINE}
    result["per_class"] = {
        title: {name: found[f"{title}.{name}"] for name in PER_CLASS}
        | {"support": int((labels == label).sum())}
        for label, title in enumerate(CLASSES)
    }
    notes = _notes(found, "")
    result["per_center"] = {}
    for center in np.unique(centers):
        here = centers == center
        own = _with_intervals(labels[here], probs[here], weights[:, here])
        kept = {name: own[name] for name in ("accuracy", "macro_auc")}
        result["per_center"][str(center)] = {"n": int(here.sum())} | kept
        notes |= _notes(kept, f"per_center.{center}.")
    result["confusion"] = confusion(labels, probs).tolist()
    result["notes"] = notes
    return result


def _with_intervals(labels: Labels, probs: Floats, weights: Floats) -> dict[str, Estimate]:
    found = figures(labels, probs, with_sample(weights))
    return {name: estimate(values) for name, values in found.items()}


def _notes(found: dict[str, Estimate], prefix: str) -> dict[str, str]:
    return {
        prefix + name: WHY[name.rpartition(".")[2]]
        for name, figure in found.items()
        if figure["value"] is None
    }
