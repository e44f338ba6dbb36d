"""The metrics of a classifier, in one table, and the pure functions that compute them.

Each function takes weights of shape (resamples, n), one row per resample, and returns one value per
row: weights of one give the metric itself, weights from `bootstrap` its resamples. A metric that is
undefined is NaN.

To add a metric, add an entry to `METRICS`. From there it reaches metrics.json, summary.csv, the
terminal, the report and the model card. The runs that exist show an empty cell until they are
scored again with `python -m btxrd.score`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from btxrd.artifacts.classes import ClassNames

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer]

ECE_BINS = 15
SMALLEST = 5e-10  # the smallest probability that a file with 9 decimals distinguishes from 0


@dataclass(frozen=True)
class Cases:
    """Labels and probabilities of some cases.

    Attributes:
        labels: (n,) in 0..k-1.
        probs: (n, k), rows sum to 1.
        names: Of the k classes.
    """

    labels: Labels
    probs: Floats
    names: ClassNames

    @cached_property
    def predicted(self) -> Labels:
        """(n,) labels of the highest probability."""
        return self.probs.argmax(axis=1)

    @cached_property
    def one_vs_rest(self) -> "list[OneVsRest]":
        """Each class against the others."""
        return [
            OneVsRest(self.labels == label, self.predicted == label, self.probs[:, label])
            for label in range(len(self.names))
        ]


@dataclass(frozen=True)
class OneVsRest:
    """Cases as one class against the others.

    Attributes:
        truth: (n,) whether a case is of the class.
        predicted: (n,) whether it is predicted to be.
        score: (n,) probability of the class.
    """

    truth: Flags
    predicted: Flags
    score: Floats


@dataclass(frozen=True)
class Metric:
    """A metric, and where it is shown.

    Attributes:
        name: Key in files. `{focus}` and `{background}` stand for the names of these classes.
        title: Heading in the report, the model card and the terminal, likewise.
        better: Whether a higher or a lower value is better.
        low: Smallest possible value.
        high: Largest possible value.
        undefined: Why the metric may have no value; None if it always has one.
        compute: Of all classes together; None if it exists per class only.
        compute_per_class: Of one class against the others; None if it does not exist per class.
        headline: Whether it is in summary.csv, the card and the report's table of settings.
        per_center: Whether it is computed for each center, too.
        in_terminal: Whether the table in the terminal shows it.
        as_percent: Whether pages show it as a percentage.
        chance: Its value without any skill; None if that is not a constant.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    low: float
    high: float
    undefined: str | None = None
    compute: Callable[[Cases, Floats], Floats] | None = None
    compute_per_class: Callable[[OneVsRest, Floats], Floats] | None = None
    headline: bool = False
    per_center: bool = False
    in_terminal: bool = False
    as_percent: bool = False
    chance: Callable[[ClassNames], float | None] = lambda names: None

    def key(self, names: ClassNames) -> str:
        """Return its key in files for some classes."""
        return self.name.format(focus=names.focus, background=names.background)

    def heading(self, names: ClassNames) -> str:
        """Return its heading for some classes."""
        return self.title.format(focus=names.focus, background=names.background)

    def exists_for(self, names: ClassNames) -> bool:
        """Return whether it can be computed for some classes at all."""
        return names.background is not None or "{background}" not in self.name


def headline_metrics(names: ClassNames) -> list[Metric]:
    """Return the metrics of all classes together that exist for some classes."""
    return [one for one in METRICS if one.headline and one.exists_for(names)]


def compute_metrics(cases: Cases, weights: Floats) -> dict[str, Floats]:
    """Compute every metric of some cases.

    Args:
        cases: n cases.
        weights: (resamples, n), not negative.

    Returns:
        (resamples,) for each metric, by its key, and by `CLASS.key` for one that exists per class.
    """
    found: dict[str, Floats] = {}
    for metric in METRICS:
        if metric.compute is not None and metric.exists_for(cases.names):
            found[metric.key(cases.names)] = metric.compute(cases, weights)
        if metric.compute_per_class is not None:
            for name, one in zip(cases.names.names, cases.one_vs_rest, strict=True):
                found[f"{name}.{metric.name}"] = metric.compute_per_class(one, weights)
    return found


def accuracy(cases: Cases, weights: Floats) -> Floats:
    """Share of the cases that are predicted right: (resamples,)."""
    return mean(cases.predicted == cases.labels, weights)


def balanced_accuracy(cases: Cases, weights: Floats) -> Floats:
    """Mean sensitivity of the classes that are present: (resamples,)."""
    recalls = np.array([sensitivity(one, weights) for one in cases.one_vs_rest])
    present = ~np.isnan(recalls)
    return _ratio(np.where(present, recalls, 0).sum(axis=0), present.sum(axis=0))


def macro_f1(cases: Cases, weights: Floats) -> Floats:
    """Mean F1 score of all classes: (resamples,)."""
    return np.asarray(np.mean([f1(one, weights) for one in cases.one_vs_rest], axis=0))


def focus_as_background(cases: Cases, weights: Floats) -> Floats:
    """Share of the focus class that is predicted as background: (resamples,)."""
    names = cases.names
    return rate(
        cases.predicted == names.background_label, cases.labels == names.focus_label, weights
    )


def equal_priors(labels: Labels, classes: int, weights: Floats) -> Floats:
    """Scale weights (resamples, n) so that each class has the same weight in each resample.

    A resample that lacks a class is NaN as a whole.
    """
    sums = weights @ np.eye(classes)[labels]
    scaled = _ratio(weights, sums[:, labels])
    whole = (sums > 0).all(axis=1, keepdims=True)
    return np.where(whole, scaled, np.nan)


def macro_auc(labels: Labels, probs: Floats, weights: Floats) -> Floats:
    """One-vs-rest area under the ROC curve, averaged over the classes: (resamples,)."""
    by_class = [
        roc_auc(labels == label, probs[:, label], weights) for label in range(probs.shape[1])
    ]
    return np.asarray(np.mean(by_class, axis=0))


def auc(one: OneVsRest, weights: Floats) -> Floats:
    """Area under the ROC curve of one class: (resamples,)."""
    return roc_auc(one.truth, one.score, weights)


def sensitivity(one: OneVsRest, weights: Floats) -> Floats:
    """Share of the class that is predicted as it: (resamples,)."""
    return rate(one.predicted, one.truth, weights)


def specificity(one: OneVsRest, weights: Floats) -> Floats:
    """Share of the other classes that is not predicted as it: (resamples,)."""
    return rate(~one.predicted, ~one.truth, weights)


def precision(one: OneVsRest, weights: Floats) -> Floats:
    """Share of the cases predicted as the class that are of it: (resamples,)."""
    return rate(one.truth, one.predicted, weights)


def f1(one: OneVsRest, weights: Floats) -> Floats:
    """F1 score of one class: (resamples,).

    As in scikit-learn, it is 0 if the class is neither true nor predicted.
    """
    hits, calls, members = (
        weights @ flags for flags in (one.truth & one.predicted, one.predicted, one.truth)
    )
    value = np.nan_to_num(_ratio(2 * hits, calls + members))
    return np.where(np.isnan(weights.sum(axis=1)), np.nan, value)


def roc_auc(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve: the share of pairs in the right order, ties counted half."""
    above = np.sign(score[truth][:, None] - score[~truth]) / 2 + 0.5
    positive, negative = weights[:, truth], weights[:, ~truth]
    ordered = ((positive @ above) * negative).sum(axis=1)
    return _ratio(ordered, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Area under the precision-recall curve as steps, one a distinct score."""
    positive, negative = (part[:, ::-1] for part in _by_score(truth, score, weights))
    hits = np.cumsum(positive, axis=1)
    precision = np.nan_to_num(_ratio(hits, hits + np.cumsum(negative, axis=1)))
    return _ratio((positive * precision).sum(axis=1), hits[:, -1])


def brier(labels: Labels, probs: Floats, weights: Floats) -> Floats:
    """Mean over the cases of the summed squared distance to the one-hot label (Brier 1950)."""
    return mean(((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(axis=1), weights)


def expected_calibration_error(right: Flags, confidence: Floats, weights: Floats) -> Floats:
    """Mean gap between confidence and accuracy over 15 equal bins (Guo et al. 2017)."""
    inner_edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    members = np.eye(ECE_BINS)[np.digitize(confidence, inner_edges, right=True)]
    gap = np.abs(weights @ (members * (right - confidence)[:, None]))
    return _ratio(gap.sum(axis=1), weights.sum(axis=1))


def rate(flags: Flags, among: Flags, weights: Floats) -> Floats:
    """Share of the cases `among` that have the flag: (resamples,)."""
    return _ratio(weights @ (flags & among).astype(float), weights @ among.astype(float))


def confusion(labels: Labels, probs: Floats) -> npt.NDArray[np.int64]:
    """Count cases, (k, k): rows true, columns called."""
    counts = np.zeros((probs.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, probs.argmax(axis=1)), 1)
    return counts


def cross_entropy(labels: Labels, probs: Floats) -> float:
    """Mean negative log probability of the true class."""
    with np.errstate(divide="ignore"):
        return float(-np.log(probs[np.arange(len(labels)), labels]).mean())


def with_temperature(probs: Floats, temperature: float) -> Floats:
    """Divide the logits behind (n, k) probabilities by a temperature (Guo et al. 2017)."""
    logits = np.log(np.clip(probs, SMALLEST, None)) / temperature
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _by_score(truth: Flags, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of the positives and of the negatives at each distinct score, ascending."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    ranked, is_positive = weights[:, order], truth[order]
    return (
        np.add.reduceat(ranked * is_positive, starts, axis=1),
        np.add.reduceat(ranked * ~is_positive, starts, axis=1),
    )


def mean(values: npt.NDArray[np.generic], weights: Floats) -> Floats:
    """Weighted mean of (n,) values: (resamples,)."""
    return _ratio(weights @ values.astype(float), weights.sum(axis=1))


def _ratio(above: Floats, below: npt.NDArray[np.number]) -> Floats:
    """Divide; NaN where the divisor is 0."""
    out = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below > 0))


METRICS: tuple[Metric, ...] = (
    Metric(
        "accuracy", "accuracy", "higher", 0, 1, compute=accuracy,
        headline=True, per_center=True, in_terminal=True,
    ),
    Metric(
        "balanced_accuracy", "balanced accuracy", "higher", 0, 1, compute=balanced_accuracy,
        headline=True, chance=lambda names: 1 / len(names),
    ),
    Metric(
        "macro_auc", "macro AUC", "higher", 0, 1, "a class is absent",
        compute=lambda cases, weights: macro_auc(cases.labels, cases.probs, weights),
        headline=True, per_center=True, in_terminal=True, chance=lambda names: 0.5,
    ),
    Metric("macro_f1", "macro F1", "higher", 0, 1, compute=macro_f1, headline=True),
    Metric(
        "brier", "Brier score", "lower", 0, 2,
        compute=lambda cases, weights: brier(cases.labels, cases.probs, weights), headline=True,
    ),
    Metric(
        "ece", "ECE", "lower", 0, 1,
        compute=lambda cases, weights: expected_calibration_error(
            cases.predicted == cases.labels, cases.probs.max(axis=1), weights
        ),
        headline=True,
    ),
    Metric(
        "{focus}_predicted_{background}", "{focus} predicted {background}", "lower", 0, 1,
        "no case is of the first class", compute=focus_as_background,
        headline=True, as_percent=True,
    ),
    Metric(
        "auc", "AUC", "higher", 0, 1, "all cases are of this class, or none is",
        compute_per_class=auc,
    ),
    Metric(
        "average_precision", "average precision", "higher", 0, 1, "no case is of this class",
        compute_per_class=lambda one, weights: average_precision(one.truth, one.score, weights),
    ),
    Metric(
        "sensitivity", "sensitivity", "higher", 0, 1, "no case is of this class",
        compute_per_class=sensitivity,
    ),
    Metric(
        "specificity", "specificity", "higher", 0, 1, "all cases are of this class",
        compute_per_class=specificity,
    ),
    Metric(
        "precision", "precision", "higher", 0, 1, "no case is predicted as this class",
        compute_per_class=precision,
    ),
    Metric("f1", "F1", "higher", 0, 1, compute_per_class=f1),
)  # fmt: skip
