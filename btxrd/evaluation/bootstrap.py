"""Metrics with bootstrap confidence intervals over groups."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.scores.estimates import (
    UNDEFINED,
    CenterMetrics,
    ClassMetrics,
    Estimate,
    Estimates,
    PartitionMetrics,
)
from btxrd.evaluation.formulas import Flags, Floats, Labels, confusion
from btxrd.evaluation.metrics import METRICS, Cases, Metric, compute_metrics, denominators

RESAMPLES = 2000
COVERAGE = 0.95
SEED = 0
Groups = npt.NDArray[np.generic]


def bootstrap_weights(groups: Groups, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Draw groups with replacement.

    Args:
        groups: (n,) name of the group of each case; cases of one group are drawn together.
        resamples: Number of resamples.
        seed: Seed of the random draws.

    Returns:
        (resamples, n) float64: number of times that each case is in each resample.
    """
    names, group = np.unique(groups, return_inverse=True)
    return _drawn(len(names), resamples, seed)[:, group].astype(float)


@lru_cache(maxsize=8)
def _drawn(names: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the number of times that each of `names` groups is drawn: (resamples, names)."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(names, np.full(names, 1 / names), size=resamples)


def interval(value: float, resampled: Floats) -> tuple[float | None, float | None]:
    """Return the percentile interval of a metric (Efron and Tibshirani 1993).

    The interval is widened to include `value`: the calibration error is larger in nearly every
    resample than in the sample, so its percentiles can exclude its value.

    Args:
        value: The metric.
        resampled: (resamples,) the metric in each resample; NaN if it is undefined there.

    Returns:
        Both ends; None if no resample has a value.
    """
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(min(low, value)), float(max(high, value))


def estimate(values: Floats, units: int = 0) -> Estimate:
    """Return a metric with its 95% confidence interval; `UNDEFINED` if it has no value.

    A proportion of 0 or 1 is the same in every resample, so its percentile interval would have no
    width. Its interval is that of Clopper and Pearson (1934), with groups as units.

    Args:
        values: (1 + resamples,) the metric of the sample, then that of each resample.
        units: Number of groups in the denominator of a proportion; 0 for another metric.
    """
    value = float(values[0])
    if np.isnan(value):
        return UNDEFINED
    low, high = interval(value, values[1:])
    if units and low == high and value in (0, 1):
        bound = 1 - ((1 - COVERAGE) / 2) ** (1 / units)
        low, high = (0.0, bound) if value == 0 else (1 - bound, 1.0)
    return Estimate(value, low, high)


def units_of(groups: Groups, among: Sequence[Flags]) -> int:
    """Return the smallest number of groups in several sets of cases.

    Args:
        groups: (n,) name of the group of each case.
        among: (n,) flags of each set of cases.
    """
    return min((len(np.unique(groups[flags])) for flags in among), default=0)


def with_sample(weights: Floats) -> Floats:
    """Return weights (1 + resamples, n) with a first row of ones, which is the sample itself."""
    return np.vstack([np.ones(weights.shape[1]), weights])


def partition_metrics(
    labels: Labels, probs: Floats, groups: Groups, centers: Labels, names: ClassNames
) -> PartitionMetrics:
    """Compute every metric of one partition with its 95% confidence interval.

    Args:
        labels: (n,) labels in 0..k-1.
        probs: (n, k) probabilities; rows sum to 1.
        groups: (n,) name of the group of each case; groups are resampled.
        centers: (n,) number of the center of each case.
        names: Names of the k classes.
    """
    weights = bootstrap_weights(groups)
    cases = Cases(labels, probs, names)
    found = _with_intervals(cases, groups, weights)
    values, notes = _of_all_classes(found, names)
    per_class = {}
    for label, name in enumerate(names.names):
        own, why = _of_class(found, name, names)
        per_class[name] = ClassMetrics(own, int((labels == label).sum()))
        notes |= why
    per_center = {}
    for center in np.unique(centers):
        here = centers == center
        inside = Cases(labels[here], probs[here], names)
        found = _with_intervals(inside, groups[here], weights[:, here])
        own, why = _of_center(found, names, f"per_center.{center}")
        per_center[str(center)] = CenterMetrics(int(here.sum()), own)
        notes |= why
    counts = confusion(labels, probs).tolist()
    return PartitionMetrics(len(labels), values, per_class, per_center, counts, notes)


def _of_all_classes(found: Estimates, names: ClassNames) -> tuple[Estimates, dict[str, str]]:
    values: Estimates = {}
    notes: dict[str, str] = {}
    for metric in METRICS:
        if metric.compute is not None and metric.exists_for(names):
            key = metric.key(names)
            values[key] = found[key]
            notes |= _note(metric, names, key, found[key])
    return values, notes


def _of_class(found: Estimates, name: str, names: ClassNames) -> tuple[Estimates, dict[str, str]]:
    values: Estimates = {}
    notes: dict[str, str] = {}
    for metric in METRICS:
        if metric.compute_per_class is not None:
            key = f"{name}.{metric.name}"
            values[metric.name] = found[key]
            notes |= _note(metric, names, key, found[key])
    return values, notes


def _of_center(
    found: Estimates, names: ClassNames, prefix: str
) -> tuple[Estimates, dict[str, str]]:
    values: Estimates = {}
    notes: dict[str, str] = {}
    for metric in METRICS:
        if metric.per_center and metric.compute is not None and metric.exists_for(names):
            key = metric.key(names)
            values[key] = found[key]
            notes |= _note(metric, names, f"{prefix}.{key}", found[key])
    return values, notes


def _with_intervals(cases: Cases, groups: Groups, weights: Floats) -> Estimates:
    among = denominators(cases)
    return {
        name: estimate(values, units_of(groups, among.get(name, ())))
        for name, values in compute_metrics(cases, with_sample(weights)).items()
    }


def _note(metric: Metric, names: ClassNames, name: str, found: Estimate) -> dict[str, str]:
    return {} if found.value is not None else {name: metric.reason(names)}
