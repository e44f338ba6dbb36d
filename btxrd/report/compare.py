"""Which settings can be told apart: paired tests of every two on one test partition."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from btxrd.data.constants import CLASSES
from btxrd.evaluation import paired_tests as comparison
from btxrd.evaluation.bootstrap import Groups, bootstrap_weights, estimate, with_sample
from btxrd.evaluation.metrics import Floats, macro_auc, mean
from btxrd.evaluation.paired_tests import Parts, holm, mcnemar, mean_parts, p_value
from btxrd.report.settings import Setting

COMPARED = ("macro_auc", "accuracy")
LEVEL = 0.05
FEWEST = 10  # groups that a test is done over


@dataclass(frozen=True)
class Replicates:
    """How much seeds alone move a figure on one test partition.

    Attributes:
        sd: pooled over the settings with several seeds; 0 where there is none.
        df: its degrees of freedom; 0 where nothing is known of it.
    """

    sd: float = 0.0
    df: int = 0

    def variance(self, *settings: Setting) -> float:
        """Of the difference or sum of the means of settings."""
        return self.sd**2 * sum(1 / len(setting.runs) for setting in settings)

    def noise(self, count: int, *settings: Setting, stream: int = 0) -> Floats:
        """(1 + count,) draws of that, after a 0 for the sample; streams are independent."""
        if self.df == 0:
            return np.zeros(1 + count)
        draws = np.random.default_rng((0, stream)).standard_t(self.df, count)
        return np.append(0, draws * np.sqrt(self.variance(*settings)))


class Measured:
    """A figure of a setting: its mean over the seeds, resampled, and its parts by case."""

    def __init__(self, setting: Setting, figure: str, weights: Floats) -> None:
        """Measure.

        Args:
            setting: whose test cases are those of `weights`.
            figure: one of COMPARED.
            weights: (1 + resamples, n), the sample first.
        """
        labels = setting.test.labels
        self.setting = setting
        if figure == "macro_auc":
            by_seed = [macro_auc(labels, probs, weights) for probs in setting.probs]
            parts = [comparison.macro_auc_parts(labels, probs) for probs in setting.probs]
        else:
            right = [probs.argmax(axis=1) == labels for probs in setting.probs]
            by_seed = [mean(hits, weights) for hits in right]
            parts = [comparison.accuracy_parts(labels, probs) for probs in setting.probs]
        self.seeds = np.array([values[0] for values in by_seed])
        self.resampled: Floats = np.asarray(np.mean(by_seed, axis=0))
        self.parts: Parts = mean_parts(parts)

    @property
    def sd(self) -> float | None:
        """Over the seeds; None for one seed, or where the figure cannot be computed."""
        return float(self.seeds.std(ddof=1)) if self.has_spread else None

    @property
    def has_spread(self) -> bool:
        """Whether its seeds tell how much a seed moves it."""
        return len(self.seeds) > 1 and not np.isnan(self.seeds).any()


@dataclass(frozen=True)
class Bench:
    """The settings that are tested on the same cases."""

    settings: list[Setting]

    @cached_property
    def weights(self) -> Floats:
        """(1 + resamples, n) of the cases."""
        return with_sample(bootstrap_weights(self.settings[0].test.groups))

    @cached_property
    def measured(self) -> dict[str, list[Measured]]:
        """Each figure of each setting."""
        return {
            figure: [Measured(setting, figure, self.weights) for setting in self.settings]
            for figure in COMPARED
        }

    @cached_property
    def by_class(self) -> list[list[Parts]]:
        """The area of each class, of each setting: mean over its seeds."""
        truths = [self.settings[0].test.labels == label for label in range(len(CLASSES))]
        return [
            [
                mean_parts([comparison.auc_parts(truth, p[:, label]) for p in setting.probs])
                for label, truth in enumerate(truths)
            ]
            for setting in self.settings
        ]

    def replicates(self, figure: str) -> Replicates:
        """How much seeds move a figure here."""
        several = [one.seeds for one in self.measured[figure] if one.has_spread]
        df = sum(len(seeds) - 1 for seeds in several)
        if df == 0:
            return Replicates()
        squares = sum(float(((seeds - seeds.mean()) ** 2).sum()) for seeds in several)
        return Replicates(float(np.sqrt(squares / df)), df)


def benches_of(settings: list[Setting]) -> list[Bench]:
    """Put settings together whose test cases and groups are equal, the best on val first."""
    equal: dict[bytes, list[Setting]] = defaultdict(list)
    for setting in settings:
        equal[setting.test.identity].append(setting)
    return [Bench(sorted(members, key=_rank)) for members in equal.values()]


def _rank(setting: Setting) -> float:
    return 0.0 if setting.val is None else -setting.val.macro_auc


def with_seeds(bench: Bench, figure: str, place: int) -> dict[str, Any]:
    """A figure of a setting: mean over the seeds with its interval, and the sd of the seeds."""
    one = bench.measured[figure][place]
    noise = bench.replicates(figure).noise(len(bench.weights) - 1, one.setting)
    return estimate(np.clip(one.resampled + noise, 0, 1)) | {"sd": one.sd}


def compare(benches: list[Bench]) -> list[dict[str, Any]]:
    """Test every two settings of each bench, and adjust for their number (Holm).

    Returns:
        A row a pair: `split`, `one`, `other` and the first of their `runs`, `n` cases in `groups`,
        how many `seeds` both have, and for each
        of COMPARED: the difference `value` with `low` and `high`; its `p`, over groups, with the
        seeds' share where some setting has several; `p_cases` as if each case were a patient, which
        is DeLong's and McNemar's; `p_holm` over all rows; whether they are `apart`; `seed_sd`, the
        sd of the difference that seeds alone make, and `seed_share` of its variance, both null
        where no setting has several seeds.
    """
    rows = [row for bench in benches for row in _pairs(bench)]
    for figure in COMPARED:
        tested = [row[figure] for row in rows if row[figure]["p"] is not None]
        adjusted = holm([found["p"] for found in tested])
        for found, p in zip(tested, adjusted, strict=True):
            found |= {"p_holm": p, "apart": p < LEVEL}
    return rows


def _pairs(bench: Bench) -> Iterator[dict[str, Any]]:
    _, groups = np.unique(bench.settings[0].test.groups, return_inverse=True)
    replicates = {figure: bench.replicates(figure) for figure in COMPARED}
    for one, other in combinations(range(len(bench.settings)), 2):
        pair = bench.settings[one], bench.settings[other]
        row: dict[str, Any] = {
            "split": " / ".join(dict.fromkeys(setting.split for setting in pair)),
            "one": pair[0].name,
            "other": pair[1].name,
            "runs": [setting.runs[0].name for setting in pair],
            "n": len(groups),
            "groups": int(groups.max()) + 1,
            "seeds": [len(setting.runs) for setting in pair],
        }
        for figure, measured in bench.measured.items():
            row[figure] = _difference(measured[one], measured[other], replicates[figure], groups)
        areas = zip(CLASSES, bench.by_class[one], bench.by_class[other], strict=True)
        row["macro_auc"]["per_class"] = {name: _tested(a - b, groups) for name, a, b in areas}
        row["accuracy"]["mcnemar"] = _mcnemar(*pair)
        yield row


def _difference(
    one: Measured, other: Measured, seeds: Replicates, groups: Groups
) -> dict[str, Any]:
    of_seeds = seeds.variance(one.setting, other.setting)
    noise = seeds.noise(len(one.resampled) - 1, one.setting, other.setting)
    resampled = np.clip(one.resampled - other.resampled + noise, -1, 1)
    parts = one.parts - other.parts
    total = parts.variance(groups) + of_seeds
    return {
        **_tested(parts, groups, of_seeds, seeds.df),
        **estimate(resampled),
        "p_holm": None,
        "apart": False,
        "seed_sd": float(np.sqrt(of_seeds)) if seeds.df else None,
        "seed_share": of_seeds / total if seeds.df and total > 0 else None,
    }


def _tested(
    difference: Parts, groups: Groups, of_seeds: float = 0, df: int = 0
) -> dict[str, float | None]:
    """A difference with its p over groups, and as if each case were a group.

    `of_seeds` is the variance that seeds add, known with `df` degrees of freedom; those of the sum
    are Satterthwaite's (1946), for cases are many where seeds are not.
    """
    total = difference.variance(groups) + of_seeds
    degrees = df * (total / of_seeds) ** 2 if of_seeds > 0 else np.inf
    is_tested = len(np.unique(groups)) >= FEWEST
    return {
        "value": None if np.isnan(difference.value) else difference.value,
        "p": p_value(difference.value, total, degrees) if is_tested else None,
        "p_cases": p_value(difference.value, difference.variance()),
    }


def _mcnemar(one: Setting, other: Setting) -> dict[str, float] | None:
    """McNemar's exact test, which knows one run a side."""
    if len(one.runs) > 1 or len(other.runs) > 1:
        return None
    right = [probs.argmax(axis=1) == one.test.labels for s in (one, other) for probs in s.probs]
    return mcnemar(right[0], right[1])
