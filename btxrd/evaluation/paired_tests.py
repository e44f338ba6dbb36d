"""Tests of the difference between two models on the same cases.

A metric is represented by its value and by one influence value per case. The influence values of
two models are subtracted case by case, so a test is paired. They are summed within groups, so that
images of one patient count as one unit. They are averaged over the seeds of a setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from btxrd.evaluation.bootstrap import Groups
from btxrd.evaluation.formulas import Floats, Labels

ROUNDING = 1e-12  # means of equal metrics, summed in another order, differ by less


@dataclass(frozen=True)
class InfluenceValues:
    """A metric of some cases.

    Attributes:
        value: Value of the metric; NaN if it is undefined.
        cases: (n,) influence of each case on the value; NaN if it is unknown.
    """

    value: float
    cases: Floats

    def __sub__(self, other: "InfluenceValues") -> "InfluenceValues":
        return InfluenceValues(self.value - other.value, self.cases - other.cases)

    def summed(self, groups: Groups) -> "InfluenceValues":
        """Return the influence of each group (n,) in place of that of each case."""
        _, group = np.unique(groups, return_inverse=True)
        return InfluenceValues(self.value, np.asarray(np.bincount(group, self.cases), float))

    def variance(self, groups: Groups | None = None) -> float:
        """Return the variance of the value; the units are `groups` (n,), or the cases if None."""
        units = self if groups is None else self.summed(groups)
        return float((units.cases**2).sum())


def auc_influence(truth: npt.NDArray[np.bool_], score: Floats) -> InfluenceValues:
    """Compute the area under the ROC curve, by the placements of DeLong et al. 1988.

    The variance of a difference is theirs. Over groups it is that of Obuchowski 1997, except for a
    factor of groups / (groups - 1).

    Args:
        truth: (n,).
        score: (n,).
    """
    positive, negative = np.sort(score[truth]), np.sort(score[~truth])
    m, n = len(positive), len(negative)
    cases = np.full(len(score), np.nan)
    if min(m, n) == 0:
        return InfluenceValues(np.nan, cases)
    above = _share_below(negative, score[truth])
    below = 1 - _share_below(positive, score[~truth])
    value = float(above.mean())
    if min(m, n) == 1:
        return InfluenceValues(value, cases)
    cases[truth] = (above - value) / np.sqrt(m * (m - 1))
    cases[~truth] = (below - value) / np.sqrt(n * (n - 1))
    return InfluenceValues(value, cases)


def _share_below(ranked: Floats, score: Floats) -> Floats:
    """Return the share of `ranked` below each score, ties counted half."""
    sides = [np.searchsorted(ranked, score, side) for side in ("left", "right")]
    return np.asarray(np.mean(sides, axis=0) / len(ranked))


def macro_auc_influence(labels: Labels, probs: Floats) -> InfluenceValues:
    """Compute the mean one-vs-rest area under the ROC curve."""
    classes = range(probs.shape[1])
    return mean_influence([auc_influence(labels == label, probs[:, label]) for label in classes])


def accuracy_influence(labels: Labels, probs: Floats) -> InfluenceValues:
    """Compute accuracy. Its influence values are not centred, so only differences have a variance.

    The square root of the variance of a difference is the divisor of McNemar's test.
    """
    right = (probs.argmax(axis=1) == labels) / len(labels)
    return InfluenceValues(float(right.sum()), right)


def mean_influence(metrics: Sequence[InfluenceValues]) -> InfluenceValues:
    """Return the mean of metrics of the same cases, such as those of several seeds."""
    values, cases = [one.value for one in metrics], [one.cases for one in metrics]
    return InfluenceValues(float(np.mean(values)), np.asarray(np.mean(cases, axis=0)))


def p_value(value: float, variance: float, df: float = np.inf) -> float | None:
    """Return the two-sided p of a difference (Wald test); None if it is undefined.

    A difference without variance has p = 1 if it is 0, and no p otherwise.
    """
    if np.isnan(value) or np.isnan(variance):
        return None
    if variance < ROUNDING**2:
        return 1.0 if abs(value) < ROUNDING else None
    from scipy import special  # takes time to load; the functions of its stats take long to call

    statistic = -abs(value) / np.sqrt(variance)
    tail = special.ndtr(statistic) if np.isinf(df) else special.stdtr(df, statistic)
    return float(2 * tail)


def mcnemar(
    one_right: npt.NDArray[np.bool_], other_right: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Compute McNemar's exact test of two accuracies on the same cases.

    Returns:
        `only_one` and `only_other`: number of cases that only one of them predicts right.
        `p`: two-sided.
    """
    only_one = int((one_right & ~other_right).sum())
    only_other = int((~one_right & other_right).sum())
    discordant = only_one + only_other
    from scipy import special  # takes time to load; the functions of its stats take long to call

    p = min(1.0, 2 * special.bdtr(min(only_one, only_other), discordant, 0.5))
    return {"only_one": only_one, "only_other": only_other, "p": float(p)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return [float(value) for value in adjusted]
