"""Probabilities -> figures, as pure functions.

Each takes weights of shape (resamples, n), a row a resample, and gives a value a row: weights of
one are the figure itself, weights from `resampling` its bootstrap. A figure that cannot be computed
is NaN.
"""

import numpy as np
import numpy.typing as npt

from btxrd.data.constants import CLASSES, NORMAL

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

ECE_BINS = 15
SMALLEST = 5e-10  # probability that a file with 9 decimals tells from 0
MALIGNANT = CLASSES.index("malignant")


def figures(labels: Labels, probs: Floats, weights: Floats) -> dict[str, Floats]:
    """Compute all figures of some cases.

    Args:
        labels: (n,) in 0..k-1.
        probs: (n, k), rows sum to 1.
        weights: (resamples, n), not negative.

    Returns:
        (resamples,) each, under the names of HEADLINE and `CLASS.name` for those of PER_CLASS.
    """
    called = probs.argmax(axis=1)
    found: dict[str, Floats] = {}
    for label, title in enumerate(CLASSES):
        of_class = one_class(labels == label, called == label, probs[:, label], weights)
        found |= {f"{title}.{name}": values for name, values in of_class.items()}

    def macro(name: str) -> Floats:
        return np.asarray(np.mean([found[f"{title}.{name}"] for title in CLASSES], axis=0))

    recalls = np.array([found[f"{title}.sensitivity"] for title in CLASSES])
    present = ~np.isnan(recalls)
    headline = {
        "accuracy": mean(called == labels, weights),
        "balanced_accuracy": _ratio(np.where(present, recalls, 0).sum(axis=0), present.sum(axis=0)),
        "macro_auc": macro("auc"),
        "macro_f1": macro("f1"),
        "brier": brier(labels, probs, weights),
        "ece": expected_calibration_error(called == labels, probs.max(axis=1), weights),
        "malignant_called_normal": rate(called == NORMAL, labels == MALIGNANT, weights),
    }
    return headline | found


def equal_priors(labels: Labels, weights: Floats) -> Floats:
    """Scale weights (resamples, n) so that each class weighs the same in each resample.

    A class that is absent from a resample makes all of it NaN.
    """
    sums = weights @ np.eye(len(CLASSES))[labels]
    scaled = _ratio(weights, sums[:, labels])
    whole = (sums > 0).all(axis=1, keepdims=True)
    return np.where(whole, scaled, np.nan)


def macro_auc(labels: Labels, probs: Floats, weights: Floats) -> Floats:
    """One-vs-rest area under the ROC curve, averaged over the classes: (resamples,)."""
    by_class = [
        roc_auc(labels == label, probs[:, label], weights) for label in range(probs.shape[1])
    ]
    return np.asarray(np.mean(by_class, axis=0))


def one_class(
    truth: npt.NDArray[np.bool_], called: npt.NDArray[np.bool_], score: Floats, weights: Floats
) -> dict[str, Floats]:
    """Compute the figures of one class against the others: (resamples,) each."""
    hits, calls, members = (weights @ flags for flags in (truth & called, called, truth))
    total = weights.sum(axis=1)
    others = total - members
    return {
        "auc": roc_auc(truth, score, weights),
        "average_precision": average_precision(truth, score, weights),
        "sensitivity": _ratio(hits, members),
        "specificity": _ratio(others - calls + hits, others),
        "precision": _ratio(hits, calls),
        # As in scikit-learn, 0 also where the class neither occurs nor is called.
        "f1": np.where(np.isnan(total), np.nan, np.nan_to_num(_ratio(2 * hits, calls + members))),
    }


def roc_auc(truth: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve: the share of pairs in the right order, ties counted half."""
    above = np.sign(score[truth][:, None] - score[~truth]) / 2 + 0.5
    positive, negative = weights[:, truth], weights[:, ~truth]
    ordered = ((positive @ above) * negative).sum(axis=1)
    return _ratio(ordered, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(truth: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """Area under the precision-recall curve as steps, one a distinct score."""
    positive, negative = (part[:, ::-1] for part in _by_score(truth, score, weights))
    hits = np.cumsum(positive, axis=1)
    precision = np.nan_to_num(_ratio(hits, hits + np.cumsum(negative, axis=1)))
    return _ratio((positive * precision).sum(axis=1), hits[:, -1])


def brier(labels: Labels, probs: Floats, weights: Floats) -> Floats:
    """Mean over the cases of the summed squared distance to the one-hot label (Brier 1950)."""
    return mean(((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(axis=1), weights)


def expected_calibration_error(
    right: npt.NDArray[np.bool_], confidence: Floats, weights: Floats
) -> Floats:
    """Mean gap between confidence and accuracy over 15 equal bins (Guo et al. 2017)."""
    inner_edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    members = np.eye(ECE_BINS)[np.digitize(confidence, inner_edges, right=True)]
    gap = np.abs(weights @ (members * (right - confidence)[:, None]))
    return _ratio(gap.sum(axis=1), weights.sum(axis=1))


def rate(flags: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], weights: Floats) -> Floats:
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


def _by_score(
    truth: npt.NDArray[np.bool_], score: Floats, weights: Floats
) -> tuple[Floats, Floats]:
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
