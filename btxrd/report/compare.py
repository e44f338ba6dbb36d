"""Paired tests of every two settings with the same test cases, and their compact letter display."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from string import ascii_lowercase
from typing import Self

import numpy as np

from btxrd.artifacts.evidence.comparison import (
    ClassDifference,
    Difference,
    McNemar,
    PairedComparison,
)
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
    """Test every two settings of each set; p values are Holm-adjusted over all these pairs."""
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


@dataclass(frozen=True)
class _Influences:
    """A metric of a setting, with the influence of each case and with that of each group."""

    cases: InfluenceValues
    groups: InfluenceValues

    @classmethod
    def of(cls, found: InfluenceValues, groups: Groups) -> Self:
        return cls(found, found.summed(groups))

    def __sub__(self, other: Self) -> "_Influences":
        return _Influences(self.cases - other.cases, self.groups - other.groups)


def _pairs(compared: ComparisonSet) -> Iterator[PairedComparison]:
    groups = compared.settings[0].test.groups
    seeds = {metric: compared.seed_variance(metric) for metric in COMPARED}
    influences = {
        metric: [_Influences.of(one.influence, groups) for one in found]
        for metric, found in compared.metrics.items()
    }
    areas = [[_Influences.of(one, groups) for one in found] for found in compared.auc_of_classes]
    for i, j in combinations(range(len(compared.settings)), 2):
        one, other = compared.settings[i], compared.settings[j]
        differences = {
            metric: _difference(
                found[i], found[j], influences[metric][i] - influences[metric][j], seeds[metric]
            )
            for metric, found in compared.metrics.items()
        }
        per_class = [_class_difference(a - b) for a, b in zip(areas[i], areas[j], strict=True)]
        by_name = dict(zip(compared.names.names, per_class, strict=True))
        differences["macro_auc"] = replace(differences["macro_auc"], per_class=by_name)
        differences["accuracy"] = replace(differences["accuracy"], mcnemar=_mcnemar(one, other))
        yield PairedComparison(
            split=" / ".join(dict.fromkeys((one.split, other.split))),
            one=one.name,
            other=other.name,
            runs=(one.runs[0].name, other.runs[0].name),
            n=len(groups),
            groups=compared.groups,
            seeds=(len(one.runs), len(other.runs)),
            differences=differences,
        )


def _difference(
    one: SettingMetric, other: SettingMetric, influence: _Influences, seeds: SeedVariance
) -> Difference:
    of_seeds = seeds.variance(one.setting, other.setting)
    noise = seeds.noise(len(one.resampled) - 1, one.setting, other.setting)
    found = estimate(np.clip(one.resampled - other.resampled + noise, -1, 1))
    total = influence.groups.variance() + of_seeds
    return Difference(
        found.value,
        found.low,
        found.high,
        p=_p_of_groups(influence.groups, of_seeds, seeds.df),
        p_cases=p_value(influence.cases.value, influence.cases.variance()),
        p_holm=None,
        significant=False,
        seed_sd=float(np.sqrt(of_seeds)) if seeds.df else None,
        seed_share=of_seeds / total if seeds.df and total > 0 else None,
    )


def _class_difference(difference: _Influences) -> ClassDifference:
    return ClassDifference(
        None if np.isnan(difference.cases.value) else difference.cases.value,
        _p_of_groups(difference.groups),
        p_value(difference.cases.value, difference.cases.variance()),
    )


def _p_of_groups(difference: InfluenceValues, of_seeds: float = 0, df: int = 0) -> float | None:
    """Return the p value of a difference with groups as units; None for too few groups.

    The degrees of freedom are those of Satterthwaite (1946) for the sum of both variances, of which
    the variance over groups is treated as known.

    Args:
        difference: Difference of two settings, with the influence of each group.
        of_seeds: Variance that seeds add.
        df: Degrees of freedom of `of_seeds`.
    """
    if len(difference.cases) < FEWEST_GROUPS:
        return None
    total = difference.variance() + of_seeds
    degrees = df * (total / of_seeds) ** 2 if of_seeds > 0 else np.inf
    return p_value(difference.value, total, degrees)


def _mcnemar(one: Setting, other: Setting) -> McNemar | None:
    """Return McNemar's exact test of two settings; None if one has several seeds."""
    if len(one.runs) > 1 or len(other.runs) > 1:
        return None
    right = [probs.argmax(axis=1) == one.test.labels for s in (one, other) for probs in s.probs]
    found = paired_tests.mcnemar(right[0], right[1])
    return McNemar(int(found["only_one"]), int(found["only_other"]), found["p"])


def letters_of(
    compared: ComparisonSet, pairs: Sequence[PairedComparison], metric: str, number: str = ""
) -> list[str]:
    """Return the compact letter display: the letters of each setting (Piepho 2004).

    Each letter stands for a maximal set of settings of which no two are significantly different. If
    more than 26 letters are needed, all settings have an empty text.

    Args:
        compared: The settings.
        pairs: Result of `compare`.
        metric: One of `COMPARED`.
        number: Number of the comparison set, which is added to each letter; may be empty.
    """
    significant = {frozenset(pair.runs) for pair in pairs if pair.differences[metric].significant}
    first = [setting.runs[0].name for setting in compared.settings]
    positions = range(len(first))
    import networkx as nx  # slow to import

    alike: nx.Graph[int] = nx.Graph()
    alike.add_nodes_from(positions)
    alike.add_edges_from(
        (one, other)
        for one, other in combinations(positions, 2)
        if frozenset((first[one], first[other])) not in significant
    )
    values = [-float(one.resampled[0]) for one in compared.metrics[metric]]
    rank = np.argsort(np.argsort(values, kind="stable"))
    letters = [""] * len(first)
    found = list(islice(nx.find_cliques(alike), len(ascii_lowercase) + 1))
    if len(found) > len(ascii_lowercase):
        return letters
    cliques = sorted(found, key=lambda clique: sorted(rank[clique]))
    for letter, clique in zip(ascii_lowercase, cliques, strict=False):
        for position in clique:
            letters[position] += letter + number
    return letters
