"""Differences between settings with simultaneous intervals, and what each of them shows.

The intervals of a family hold all true differences together in 95 of 100 cases. They come from the
largest absolute t statistic of the family in each resample (max-t; Romano and Wolf 2005). So an
interval that excludes 0 is a significant difference, adjusted for their number, and the two never
contradict each other.
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
    """A metric of several settings on the same cases, resampled together.

    Attributes:
        resampled: (1 + resamples, settings), the sample first.
        noise: (1 + resamples, settings): what seeds add in each resample; 0 for the sample.
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
        """Whether its groups suffice for a test."""
        return self.groups >= FEWEST_GROUPS and self.fewest >= FEWEST_IN_CLASS


def panel_of(compared: ComparisonSet) -> Panel:
    """Return the macro AUC of the settings of a set; the seeds' noise of a setting is one draw."""
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
        contrasts: (differences, settings): how much of each setting is in each difference, such as
            1 and -1.
        margin: Smallest difference that matters; None if none was declared for this metric.
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
    """Return the factor of a critical value by which Student's t exceeds the normal distribution.

    The degrees of freedom are those of the smallest class. The tail is that of the critical value,
    or Bonferroni's where the noise of seeds has made it smaller.
    """
    from scipy import special  # takes time to load

    tail = max(special.ndtr(-critical), (1 - COVERAGE) / 2 / tests)
    return float(special.stdtrit(fewest - 1, tail) / special.ndtri(tail))


def _of_no_variance(value: Floats, at_bound: Flags, fewest: int) -> Floats:
    """Return half the width of the interval of differences that are equal in every resample.

    It is 0 for equal predictions. Otherwise one model is perfect, say, and the other constant, or
    both are perfect on these cases: then it is what Clopper and Pearson leave for the groups of
    the smallest class.
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
    """Compare each setting with the selected one of its split, in one family for each split."""
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
