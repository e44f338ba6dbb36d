"""Tests of the difference between two models on the same cases.

A metric is represented by its value and by one influence value per case. The influence values of
two models are subtracted case by case, so a test is paired. They are summed within groups, so that
a group counts as one unit. They are averaged over the seeds of a setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from btxrd.evaluation.bootstrap import Groups
from btxrd.evaluation.formulas import Floats, Labels

ROUNDING = (
    1e-12  # larger than the rounding error of a mean, which depends on the order of summation
)


@dataclass(frozen=True)
class InfluenceValues:
    """The value of a metric, and the influence of each case on it.

    Attributes:
        value: Value of the metric; NaN if it is undefined.
        cases: (n,) influence of each case on the value; NaN if it is unknown.
    """

    value: float
    cases: Floats

    def __sub__(self, other: "InfluenceValues") -> "InfluenceValues":
        return InfluenceValues(self.value - other.value, self.cases - other.cases)

    def summed(self, groups: Groups) -> "InfluenceValues":
        """Return the metric with the influence of each group instead of that of each case.

        Args:
            groups: (n,) name of the group of each case.
        """
        _, group = np.unique(groups, return_inverse=True)
        return InfluenceValues(self.value, np.asarray(np.bincount(group, self.cases), float))

    def variance(self, groups: Groups | None = None) -> float:
        """Return the variance of the value.

        Args:
            groups: (n,) name of the group of each case, which are the units; None for cases.
        """
        units = self if groups is None else self.summed(groups)
        return float((units.cases**2).sum())


def auc_influence(truth: npt.NDArray[np.bool_], score: Floats) -> InfluenceValues:
    """Compute the area under the ROC curve and its influence values, as DeLong et al. (1988).

    With cases as units, the variance of a difference is that of DeLong et al. With groups as units,
    it is that of Obuchowski (1997), except for a factor of groups / (groups - 1).

    Args:
        truth: (n,) whether each case is positive.
        score: (n,) score of each case.
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
    """Compute macro AUC, the mean one-vs-rest AUC, and its influence values."""
    classes = range(probs.shape[1])
    return mean_influence([auc_influence(labels == label, probs[:, label]) for label in classes])


def accuracy_influence(labels: Labels, probs: Floats) -> InfluenceValues:
    """Compute accuracy and its influence values.

    The influence values are not centred, so a variance can be computed for differences only. The
    test of a difference is then McNemar's test.
    """
    right = (probs.argmax(axis=1) == labels) / len(labels)
    return InfluenceValues(float(right.sum()), right)


def mean_influence(metrics: Sequence[InfluenceValues]) -> InfluenceValues:
    """Return the mean of metrics of the same cases, such as those of several seeds."""
    values, cases = [one.value for one in metrics], [one.cases for one in metrics]
    return InfluenceValues(float(np.mean(values)), np.asarray(np.mean(cases, axis=0)))


def p_value(value: float, variance: float, df: float = np.inf) -> float | None:
    """Return the two-sided p value of a difference (Wald test); None if it is undefined.

    A difference without variance has p = 1 if it is 0, and no p value otherwise.

    Args:
        value: The difference.
        variance: Variance of the difference.
        df: Degrees of freedom of Student's t; infinity for the normal distribution.
    """
    if np.isnan(value) or np.isnan(variance):
        return None
    if variance < ROUNDING**2:
        return 1.0 if abs(value) < ROUNDING else None
    from scipy import special  # slow to import; faster to call than scipy.stats

    statistic = -abs(value) / np.sqrt(variance)
    tail = special.ndtr(statistic) if np.isinf(df) else special.stdtr(df, statistic)
    return float(2 * tail)


def mcnemar(
    one_right: npt.NDArray[np.bool_], other_right: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Compute McNemar's exact test of two accuracies on the same cases.

    Args:
        one_right: (n,) whether the first model predicts each case correctly.
        other_right: (n,) whether the second model does.

    Returns:
        `only_one` and `only_other`: number of cases that only the first or only the second model
        predicts correctly. `p`: two-sided p value.
    """
    only_one = int((one_right & ~other_right).sum())
    only_other = int((~one_right & other_right).sum())
    discordant = only_one + only_other
    from scipy import special  # slow to import; faster to call than scipy.stats

    p = min(1.0, 2 * special.bdtr(min(only_one, only_other), discordant, 0.5))
    return {"only_one": only_one, "only_other": only_other, "p": float(p)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p values (Holm 1979), in the order of the given ones."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return [float(value) for value in adjusted]
