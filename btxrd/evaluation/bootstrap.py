"""Metrics with bootstrap confidence intervals over groups."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.metrics import (
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
        groups: (n,) names; cases of one group are drawn together.
        resamples: Number of rows.
        seed: Seed of the draw.

    Returns:
        (resamples, n): how often each case is in each resample.
    """
    names, group = np.unique(groups, return_inverse=True)
    return _drawn(len(names), resamples, seed)[:, group].astype(float)


@lru_cache(maxsize=8)
def _drawn(names: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Return how often each name is drawn; the draw depends on their number alone."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(names, np.full(names, 1 / names), size=resamples)


def interval(value: float, resampled: Floats) -> tuple[float | None, float | None]:
    """Percentile interval (Efron and Tibshirani 1993), over the resamples that have a value.

    It is widened to hold `value`: the calibration error is larger in nearly every resample than in
    the sample, so its plain percentiles can miss it.
    """
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(min(low, value)), float(max(high, value))


def estimate(values: Floats, units: int = 0) -> Estimate:
    """Return a metric with its confidence interval; `UNDEFINED` if it has no value.

    A proportion of 0 of n or of n of n is the same in every resample, which would claim certainty.
    Its interval is that of Clopper and Pearson (1934), with groups as units.

    Args:
        values: (1 + resamples,), the metric itself first.
        units: Number of groups that a proportion is a share of; 0 for another metric.
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
    """Return the number of groups of some cases, or the smallest one of several sets of cases."""
    return min((len(np.unique(groups[flags])) for flags in among), default=0)


def with_sample(weights: Floats) -> Floats:
    """Put the sample itself, each case once, before its resamples; see `estimate`."""
    return np.vstack([np.ones(weights.shape[1]), weights])


def partition_metrics(
    labels: Labels, probs: Floats, groups: Groups, centers: Labels, names: ClassNames
) -> PartitionMetrics:
    """Compute every metric of one partition with its confidence interval.

    Args:
        labels: (n,) in 0..k-1.
        probs: (n, k), rows sum to 1.
        groups: (n,) names of the units that are resampled.
        centers: (n,).
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
