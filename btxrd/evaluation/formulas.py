"""Formulas of metrics: pure functions of labels, probabilities and weights.

Most of them take weights of shape (resamples, n) and return one value per resample. A row of ones
gives the metric of the sample; rows from `bootstrap_weights` give that of the resamples. An
undefined metric is NaN. The module `metrics` lists the metrics that use these formulas.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer]

ECE_BINS = 15
MOST_STEPS, TINY, LARGEST_POWER = 100, 1e-9, 20.0  # limits of Newton's method
SMALLEST = 5e-10  # smallest probability that a file with 9 decimals distinguishes from 0


def mean(values: npt.NDArray[np.generic], weights: Floats) -> Floats:
    """Return the weighted means of (n,) values: (resamples,)."""
    return ratio(weights @ values.astype(float), weights.sum(axis=1))


def rate(flags: Flags, among: Flags, weights: Floats) -> Floats:
    """Return the weighted share of the cases `among` that have the flag: (resamples,)."""
    return ratio(weights @ (flags & among).astype(float), weights @ among.astype(float))


def ratio(above: Floats, below: npt.NDArray[np.number]) -> Floats:
    """Return `above / below`, and NaN where the divisor is 0."""
    out = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below > 0))


def equal_priors(labels: Labels, classes: int, weights: Floats) -> Floats:
    """Return weights (resamples, n) scaled so that all classes have the same total weight.

    The weights of a resample that lacks a class are all NaN.
    """
    sums = weights @ np.eye(classes)[labels]
    scaled = ratio(weights, sums[:, labels])
    whole = (sums > 0).all(axis=1, keepdims=True)
    return np.where(whole, scaled, np.nan)


def roc_auc(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Compute the area under the ROC curve: (resamples,).

    It is the share of pairs of a positive and a negative case in which the positive one has the
    higher score, with ties counted half (Hanley and McNeil 1982).
    """
    above = np.sign(score[truth][:, None] - score[~truth]) / 2 + 0.5
    positive, negative = weights[:, truth], weights[:, ~truth]
    ordered = ((positive @ above) * negative).sum(axis=1)
    return ratio(ordered, positive.sum(axis=1) * negative.sum(axis=1))


def macro_auc(labels: Labels, probs: Floats, weights: Floats) -> Floats:
    """Compute the one-vs-rest area under the ROC curve, averaged over the classes: (resamples,)."""
    ordered, sums = _ordered_pairs(labels, probs, weights)
    return _one_vs_rest(ordered, sums)


def macro_auc_with_equal_priors(
    labels: Labels, probs: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Compute `macro_auc`, and its value with equal class weights: (resamples,) each.

    Both are means over the same pairs of cases, so the second one costs little extra time.
    """
    ordered, sums = _ordered_pairs(labels, probs, weights)
    classes = sums.shape[1]
    shares = ratio(ordered, sums[:, :, None] * sums[:, None, :])
    others = ~np.eye(classes, dtype=bool)
    return _one_vs_rest(ordered, sums), np.asarray(shares[:, others].mean(axis=1))


def _one_vs_rest(ordered: Floats, sums: Floats) -> Floats:
    rest = sums.sum(axis=1, keepdims=True) - sums
    return np.asarray(ratio(ordered.sum(axis=2), sums * rest).mean(axis=1))


def _ordered_pairs(labels: Labels, probs: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Compute the weights of the correctly ordered pairs of cases of two classes.

    Returns:
        (resamples, k, k): at i, j the weight of the pairs of a case of class i and a case of class
        j in which the former has the higher probability of class i. Ties are counted half; the
        diagonal is 0. And (resamples, k): the weight of each class.
    """
    order, classes = np.argsort(labels, kind="stable"), probs.shape[1]
    edges = np.searchsorted(labels[order], np.arange(1, classes))
    of_class = np.split(weights[:, order], edges, axis=1)  # views, so nothing is copied per class
    scores = np.split(probs[order], edges)
    ordered = np.zeros((len(weights), classes, classes))
    for i in range(classes):
        for j in range(classes):
            if i != j:
                above = np.sign(scores[i][:, i, None] - scores[j][:, i]) / 2 + 0.5
                ordered[:, i, j] = np.einsum("rn,rn->r", of_class[i] @ above, of_class[j])
    return ordered, np.stack([part.sum(axis=1) for part in of_class], axis=1)


def average_precision(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Compute average precision, the area under the precision-recall steps: (resamples,)."""
    positive, negative = (part[:, ::-1] for part in _by_score(truth, score, weights))
    hits = np.cumsum(positive, axis=1)
    precision = np.nan_to_num(ratio(hits, hits + np.cumsum(negative, axis=1)))
    return ratio((positive * precision).sum(axis=1), hits[:, -1])


def _by_score(truth: Flags, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weights of positives and negatives at each distinct score, ascending."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    ranked, is_positive = weights[:, order], truth[order]
    return (
        np.add.reduceat(ranked * is_positive, starts, axis=1),
        np.add.reduceat(ranked * ~is_positive, starts, axis=1),
    )


def f1(truth: Flags, predicted: Flags, weights: Floats) -> Floats:
    """Compute the F1 score of a class: (resamples,).

    It is 0 if no case is of the class or predicted as it, as in scikit-learn.
    """
    hits, calls, members = (weights @ flags for flags in (truth & predicted, predicted, truth))
    value = np.nan_to_num(ratio(2 * hits, calls + members))
    return np.where(np.isnan(weights.sum(axis=1)), np.nan, value)


def brier(labels: Labels, probs: Floats, weights: Floats) -> Floats:
    """Compute the Brier score: (resamples,).

    It is the mean over the cases of the squared distance between the probabilities and the one-hot
    label, summed over the classes (Brier 1950). It is from 0 to 2.
    """
    return mean(((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(axis=1), weights)


def expected_calibration_error(right: Flags, confidence: Floats, weights: Floats) -> Floats:
    """Compute the expected calibration error over 15 bins of equal width: (resamples,).

    It is the mean absolute difference between confidence and accuracy in a bin, weighted by the
    number of cases in the bin (Guo et al. 2017).

    Args:
        right: (n,) whether a case is predicted correctly.
        confidence: (n,) probability of the predicted class.
        weights: (resamples, n).
    """
    inner_edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    members = np.eye(ECE_BINS)[np.digitize(confidence, inner_edges, right=True)]
    gap = np.abs(weights @ (members * (right - confidence)[:, None]))
    return ratio(gap.sum(axis=1), weights.sum(axis=1))


def confusion(labels: Labels, probs: Floats) -> npt.NDArray[np.int64]:
    """Return the confusion matrix (k, k): rows are true classes, columns are predicted ones."""
    counts = np.zeros((probs.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, probs.argmax(axis=1)), 1)
    return counts


def cross_entropy(labels: Labels, probs: Floats) -> float:
    """Compute the mean negative log probability of the true class."""
    with np.errstate(divide="ignore"):
        return float(-np.log(probs[np.arange(len(labels)), labels]).mean())


def with_temperature(probs: Floats, temperature: float) -> Floats:
    """Return (n, k) probabilities after temperature scaling (Guo et al. 2017).

    Their logarithms are divided by the temperature and normalised again.
    """
    logits = np.log(np.clip(probs, SMALLEST, None)) / temperature
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def fitted_power(labels: Labels, probs: Floats) -> tuple[float, Floats]:
    """Return the power of (n, k) probabilities with the highest likelihood, by Newton's method.

    Returns:
        The power, and (n,) the influence of each case on it. Both are NaN if the power does not
        converge between 1/20 and 20.
    """
    logits, power = np.log(probs), 1.0
    own = logits[np.arange(len(labels)), labels]
    for _ in range(MOST_STEPS):
        powers = with_temperature(probs, 1 / power)
        expected = (powers * logits).sum(axis=1)
        information = (powers * (logits - expected[:, None]) ** 2).sum()
        if information < TINY or not 1 / LARGEST_POWER < power < LARGEST_POWER:
            break
        score = own - expected
        step = float(np.clip(score.sum() / information, -power / 2, power))
        if abs(step) < TINY:
            return power, score / information
        power += step
    return np.nan, np.full(len(labels), np.nan)
