"""Compute differences between settings with simultaneous intervals, and judge them.

The intervals of a family are meant to include all true differences simultaneously with a
probability of 95%. They come from the largest absolute t statistic of the family in each resample
(max-t; Romano and Wolf 2005). A difference is significant, adjusted for the number of differences,
if its interval excludes 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from btxrd.artifacts.evidence.verdicts import DifferenceVerdict, JudgedDifference
from btxrd.evaluation.bootstrap import COVERAGE
from btxrd.evaluation.formulas import Flags, Floats
from btxrd.evaluation.paired_tests import ROUNDING
from btxrd.report.comparison_sets import FEWEST_GROUPS, FEWEST_IN_CLASS, ComparisonSet
from btxrd.report.settings import Setting

POWER_80 = 0.8416  # standard normal quantile of a power of 80%


@dataclass(frozen=True)
class Panel:
    """A metric of several settings on the same cases and the same resamples.

    Attributes:
        resampled: (1 + resamples, settings) the metric, for the sample and for each resample.
        noise: (1 + resamples, settings) noise that seeds add in each resample; 0 for the sample.
        of_seeds: (settings,) variance that seeds add.
        groups: Number of groups that are resampled.
        fewest: Smallest number of groups of a class.
    """

    resampled: Floats
    noise: Floats
    of_seeds: Floats
    groups: int
    fewest: int

    @property
    def is_testable(self) -> bool:
        """Whether there are enough groups for a test."""
        return self.groups >= FEWEST_GROUPS and self.fewest >= FEWEST_IN_CLASS


def panel_of(compared: ComparisonSet) -> Panel:
    """Return the macro AUC of the settings of a comparison set."""
    metrics = compared.metrics["macro_auc"]
    resampled = np.stack([one.resampled for one in metrics], axis=1)
    seeds = compared.seed_variance("macro_auc")
    variances = np.array([seeds.variance(setting) for setting in compared.settings])
    noise = seeds.joint_noise(len(resampled) - 1, variances)
    return Panel(resampled, noise, variances, compared.groups, compared.fewest)


def judge(panel: Panel, contrasts: Floats, margin: float | None) -> list[JudgedDifference]:
    """Judge a family of differences together.

    Args:
        panel: The settings.
        contrasts: (differences, settings) coefficient of each setting in each difference, such as 1
            and -1.
        margin: Smallest difference that matters; None for a metric without a margin.

    Returns:
        One judged difference for each row of `contrasts`.
    """
    resampled = panel.resampled @ contrasts.T
    values = resampled[0]
    if not panel.is_testable or np.isnan(values).any():
        return [_not_tested(value, len(values)) for value in values.tolist()]
    known = ~np.isnan(resampled).any(axis=1)
    spread = (resampled - values)[known][1:]
    of_seeds = contrasts**2 @ panel.of_seeds
    error = np.sqrt(spread.var(axis=0) + of_seeds)
    varies = error > ROUNDING
    critical = 0.0
    if varies.any():
        noise = (panel.noise @ contrasts.T)[known][1:]
        largest = np.abs((spread + noise)[:, varies] / error[varies]).max(axis=1)
        critical = float(np.quantile(largest, COVERAGE))
        critical *= _of_few_groups(critical, int(varies.sum()), panel.fewest)
    at_bound = np.abs(contrasts) @ (panel.resampled == 1).all(axis=0) > 0
    half = np.where(varies, critical * error, _of_no_variance(values, at_bound, panel.fewest))
    reach = half + np.where(varies, POWER_80 * error, 0)
    return [
        _judged(value, half, reach, margin, len(values))
        for value, half, reach in zip(values.tolist(), half.tolist(), reach.tolist(), strict=True)
    ]


def _of_few_groups(critical: float, tests: int, fewest: int) -> float:
    """Return the ratio of a quantile of Student's t to that of the normal distribution.

    The degrees of freedom are the number of groups of the smallest class minus 1. The tail
    probability is that of the critical value, but at least that of Bonferroni.
    """
    from scipy import special  # takes time to load

    tail = max(special.ndtr(-critical), (1 - COVERAGE) / 2 / tests)
    return float(special.stdtrit(fewest - 1, tail) / special.ndtri(tail))


def _of_no_variance(value: Floats, at_bound: Flags, fewest: int) -> Floats:
    """Return half the width of the intervals of differences that are equal in every resample.

    It is 0 for equal predictions. If one model is perfect and the other one constant, or if both
    are perfect, it is the width of the interval of Clopper and Pearson for a proportion of 1, with
    the groups of the smallest class as units.
    """
    width = 1 - ((1 - COVERAGE) / 2 / len(value)) ** (1 / max(fewest, 1))
    return np.where(at_bound | (np.abs(value) > ROUNDING), width, 0)


def _judged(
    value: float, half: float, reach: float, margin: float | None, tests: int
) -> JudgedDifference:
    low, high = max(value - half, -1.0), min(value + half, 1.0)
    within = margin is not None and -margin <= low and high <= margin
    verdict: DifferenceVerdict = "no_difference" if within else "not_enough_data"
    if low > 0:
        verdict = "better"
    elif high < 0:
        verdict = "worse"
    return JudgedDifference(value, low, high, verdict, within, reach, tests)


def _not_tested(value: float, tests: int) -> JudgedDifference:
    known = None if np.isnan(value) else value
    return JudgedDifference(known, None, None, "not_tested", False, None, tests)


def from_selected(
    sets: Sequence[ComparisonSet], selected: Sequence[Setting], margin: float
) -> dict[Setting, JudgedDifference]:
    """Compare each setting with the selected one of its split, as one family for each split.

    Args:
        sets: Settings by their test cases.
        selected: Selected settings.
        margin: Smallest difference in macro AUC that matters.

    Returns:
        Macro AUC of a setting minus that of the selected one, by setting.
    """
    found: dict[Setting, JudgedDifference] = {}
    for compared in sets:
        places = {setting: place for place, setting in enumerate(compared.settings)}
        for best in selected:
            others = [
                setting
                for setting in places
                if setting is not best and setting.split_hash == best.split_hash
            ]
            if best not in places or not others:
                continue
            contrasts = np.zeros((len(others), len(places)))
            contrasts[:, places[best]] = -1
            contrasts[np.arange(len(others)), [places[other] for other in others]] = 1
            judged = judge(panel_of(compared), contrasts, margin)
            found |= dict(zip(others, judged, strict=True))
    return found
