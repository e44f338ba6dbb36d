"""Tests of the difference between two models on the same cases.

A figure is written as a sum over the cases: its value, and the *part* that each case has in its
error. Parts of two models are subtracted case by case, so a test is paired; added up within groups,
so films of one patient count as what they are; and averaged over the seeds of a setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from btxrd.evaluation.bootstrap import Groups
from btxrd.evaluation.metrics import Floats, Labels

ROUNDING = 1e-12  # means of equal figures, added up in another order, differ by less


@dataclass(frozen=True)
class Parts:
    """A figure of some cases.

    Attributes:
        value: of the figure; NaN where it cannot be computed.
        cases: (n,) the part of each case in its error; NaN where that cannot be told.
    """

    value: float
    cases: Floats

    def __sub__(self, other: "Parts") -> "Parts":
        return Parts(self.value - other.value, self.cases - other.cases)

    def variance(self, groups: Groups | None = None) -> float:
        """Of the value; `groups` (n,) are the units that were drawn, the cases where None."""
        if groups is None:
            return float((self.cases**2).sum())
        _, group = np.unique(groups, return_inverse=True)
        return float((np.bincount(group, self.cases) ** 2).sum())


def auc_parts(truth: npt.NDArray[np.bool_], score: Floats) -> Parts:
    """The area under the ROC curve, by the placements of DeLong et al. 1988.

    The variance of a difference is theirs; over groups it is that of Obuchowski 1997 but for a
    factor of (groups / (groups - 1)).

    Args:
        truth: (n,).
        score: (n,).
    """
    positive, negative = np.sort(score[truth]), np.sort(score[~truth])
    m, n = len(positive), len(negative)
    cases = np.full(len(score), np.nan)
    if min(m, n) == 0:
        return Parts(np.nan, cases)
    above = _share_below(negative, score[truth])
    below = 1 - _share_below(positive, score[~truth])
    value = float(above.mean())
    if min(m, n) == 1:
        return Parts(value, cases)
    cases[truth] = (above - value) / np.sqrt(m * (m - 1))
    cases[~truth] = (below - value) / np.sqrt(n * (n - 1))
    return Parts(value, cases)


def _share_below(ranked: Floats, score: Floats) -> Floats:
    """The share of `ranked` that lies below each score, ties counted half."""
    sides = [np.searchsorted(ranked, score, side) for side in ("left", "right")]
    return np.asarray(np.mean(sides, axis=0) / len(ranked))


def macro_auc_parts(labels: Labels, probs: Floats) -> Parts:
    """Mean one-vs-rest area under the ROC curve."""
    classes = range(probs.shape[1])
    return mean_parts([auc_parts(labels == label, probs[:, label]) for label in classes])


def accuracy_parts(labels: Labels, probs: Floats) -> Parts:
    """Accuracy; its parts are not centred, and so of use in a difference only.

    The square root of a difference's variance is what McNemar's test divides by.
    """
    right = (probs.argmax(axis=1) == labels) / len(labels)
    return Parts(float(right.sum()), right)


def mean_parts(parts: Sequence[Parts]) -> Parts:
    """The mean of figures of the same cases."""
    values, cases = [part.value for part in parts], [part.cases for part in parts]
    return Parts(float(np.mean(values)), np.asarray(np.mean(cases, axis=0)))


def p_value(value: float, variance: float, df: float = np.inf) -> float | None:
    """Two-sided p of a difference (Wald); None where it has no variance but is none either."""
    if np.isnan(value) or np.isnan(variance):
        return None
    if variance < ROUNDING**2:
        return 1.0 if abs(value) < ROUNDING else None
    return float(2 * stats.t.sf(abs(value) / np.sqrt(variance), df))


def mcnemar(
    one_right: npt.NDArray[np.bool_], other_right: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """McNemar's exact test of two accuracies on the same cases.

    Returns:
        `only_one` and `only_other`: cases that one model alone has right; `p`, two-sided.
    """
    only_one = int((one_right & ~other_right).sum())
    only_other = int((~one_right & other_right).sum())
    discordant = only_one + only_other
    p = stats.binomtest(only_one, discordant).pvalue if discordant else 1.0
    return {"only_one": only_one, "only_other": only_other, "p": float(p)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return [float(value) for value in adjusted]
