"""Paired tests of every two settings on the same test cases."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from btxrd.artifacts.comparison import ClassDifference, Difference, McNemar, PairedComparison
from btxrd.evaluation import paired_tests
from btxrd.evaluation.bootstrap import Groups, estimate
from btxrd.evaluation.paired_tests import InfluenceValues, holm, p_value
from btxrd.report.comparison_sets import (
    COMPARED,
    FEWEST_GROUPS,
    ComparisonSet,
    SeedVariance,
    SettingMetric,
)
from btxrd.report.settings import Setting

ALPHA = 0.05  # significance level of a Holm-adjusted p


def compare(sets: Sequence[ComparisonSet]) -> list[PairedComparison]:
    """Test every two settings of each set, and adjust p for the number of all pairs (Holm)."""
    pairs = [pair for compared in sets for pair in _pairs(compared)]
    adjusted: list[dict[str, Difference]] = [{} for _ in pairs]
    for metric in COMPARED:
        found = [pair.differences[metric] for pair in pairs]
        p_holm = iter(holm([one.p for one in found if one.p is not None]))
        for one, differences in zip(found, adjusted, strict=True):
            if one.p is not None:
                p = next(p_holm)
                one = replace(one, p_holm=p, significant=p < ALPHA)
            differences[metric] = one
    return [
        replace(pair, differences=differences)
        for pair, differences in zip(pairs, adjusted, strict=True)
    ]


def _pairs(compared: ComparisonSet) -> Iterator[PairedComparison]:
    _, groups = np.unique(compared.settings[0].test.groups, return_inverse=True)
    seeds = {metric: compared.seed_variance(metric) for metric in COMPARED}
    for i, j in combinations(range(len(compared.settings)), 2):
        one, other = compared.settings[i], compared.settings[j]
        differences = {
            metric: _difference(of_settings[i], of_settings[j], seeds[metric], groups)
            for metric, of_settings in compared.metrics.items()
        }
        areas = zip(compared.auc_of_classes[i], compared.auc_of_classes[j], strict=True)
        per_class = [_class_difference(a - b, groups) for a, b in areas]
        by_name = dict(zip(compared.names.names, per_class, strict=True))
        differences["macro_auc"] = replace(differences["macro_auc"], per_class=by_name)
        differences["accuracy"] = replace(differences["accuracy"], mcnemar=_mcnemar(one, other))
        yield PairedComparison(
            split=" / ".join(dict.fromkeys((one.split, other.split))),
            one=one.name,
            other=other.name,
            runs=(one.runs[0].name, other.runs[0].name),
            n=len(groups),
            groups=int(groups.max()) + 1,
            seeds=(len(one.runs), len(other.runs)),
            differences=differences,
        )


def _difference(
    one: SettingMetric, other: SettingMetric, seeds: SeedVariance, groups: Groups
) -> Difference:
    of_seeds = seeds.variance(one.setting, other.setting)
    noise = seeds.noise(len(one.resampled) - 1, one.setting, other.setting)
    found = estimate(np.clip(one.resampled - other.resampled + noise, -1, 1))
    influence = one.influence - other.influence
    total = influence.variance(groups) + of_seeds
    return Difference(
        found.value,
        found.low,
        found.high,
        p=_p_of_groups(influence, groups, of_seeds, seeds.df),
        p_cases=p_value(influence.value, influence.variance()),
        p_holm=None,
        significant=False,
        seed_sd=float(np.sqrt(of_seeds)) if seeds.df else None,
        seed_share=of_seeds / total if seeds.df and total > 0 else None,
    )


def _class_difference(difference: InfluenceValues, groups: Groups) -> ClassDifference:
    return ClassDifference(
        None if np.isnan(difference.value) else difference.value,
        _p_of_groups(difference, groups),
        p_value(difference.value, difference.variance()),
    )


def _p_of_groups(
    difference: InfluenceValues, groups: Groups, of_seeds: float = 0, df: int = 0
) -> float | None:
    """Return p with groups as units; None for too few groups.

    Args:
        difference: Of two settings.
        groups: (n,).
        of_seeds: Variance that seeds add.
        df: Its degrees of freedom. Those of the sum are Satterthwaite's (1946), since cases are
            many and seeds are few.
    """
    if len(np.unique(groups)) < FEWEST_GROUPS:
        return None
    total = difference.variance(groups) + of_seeds
    degrees = df * (total / of_seeds) ** 2 if of_seeds > 0 else np.inf
    return p_value(difference.value, total, degrees)


def _mcnemar(one: Setting, other: Setting) -> McNemar | None:
    """Return McNemar's exact test; None if a setting has several seeds."""
    if len(one.runs) > 1 or len(other.runs) > 1:
        return None
    right = [probs.argmax(axis=1) == one.test.labels for s in (one, other) for probs in s.probs]
    found = paired_tests.mcnemar(right[0], right[1])
    return McNemar(int(found["only_one"]), int(found["only_other"]), found["p"])
