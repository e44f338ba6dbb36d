"""Which settings can be told apart: paired tests of every two on one test partition."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from string import ascii_lowercase
from typing import Any

import networkx as nx
import numpy as np

from btxrd.evaluation import comparison
from btxrd.evaluation.comparison import Parts, holm, mcnemar, mean_parts, p_value
from btxrd.evaluation.metrics import Floats, macro_auc, mean
from btxrd.evaluation.resampling import bootstrap_weights, estimate, with_sample
from btxrd.sweep.settings import Setting
from btxrd.vocabulary import CLASSES

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
    groups = bench.settings[0].test.groups
    for one, other in combinations(range(len(bench.settings)), 2):
        pair = bench.settings[one], bench.settings[other]
        row: dict[str, Any] = {
            "split": " / ".join(dict.fromkeys(setting.split for setting in pair)),
            "one": pair[0].name,
            "other": pair[1].name,
            "runs": [setting.runs[0].name for setting in pair],
            "n": len(groups),
            "groups": len(np.unique(groups)),
            "seeds": [len(setting.runs) for setting in pair],
        }
        for figure in COMPARED:
            measured = bench.measured[figure]
            row[figure] = _difference(
                measured[one], measured[other], bench.replicates(figure), groups
            )
        row["macro_auc"]["per_class"] = _by_class(*pair)
        row["accuracy"]["mcnemar"] = _mcnemar(*pair)
        yield row


def _difference(one: Measured, other: Measured, seeds: Replicates, groups: Any) -> dict[str, Any]:
    parts = one.parts - other.parts
    of_cases, of_seeds = parts.variance(groups), seeds.variance(one.setting, other.setting)
    total = of_cases + of_seeds
    # Satterthwaite 1946: the cases are many, the seeds are not
    df = seeds.df * (total / of_seeds) ** 2 if of_seeds > 0 else np.inf
    noise = seeds.noise(len(one.resampled) - 1, one.setting, other.setting)
    resampled = np.clip(one.resampled - other.resampled + noise, -1, 1)
    found: dict[str, Any] = dict(estimate(resampled))
    return found | {
        "p": p_value(parts.value, total, df) if len(np.unique(groups)) >= FEWEST else None,
        "p_cases": p_value(parts.value, parts.variance()),
        "p_holm": None,
        "apart": False,
        "seed_sd": float(np.sqrt(of_seeds)) if seeds.df else None,
        "seed_share": of_seeds / total if seeds.df and total > 0 else None,
    }


def _by_class(one: Setting, other: Setting) -> dict[str, dict[str, float | None]]:
    """DeLong's test of the area of each class."""
    found = {}
    for label, name in enumerate(CLASSES):
        truth = one.test.labels == label
        parts = [
            mean_parts([comparison.auc_parts(truth, probs[:, label]) for probs in setting.probs])
            for setting in (one, other)
        ]
        difference = parts[0] - parts[1]
        value = None if np.isnan(difference.value) else difference.value
        found[name] = {
            "value": value,
            "p": p_value(difference.value, difference.variance(one.test.groups)),
            "p_cases": p_value(difference.value, difference.variance()),
        }
    return found


def _mcnemar(one: Setting, other: Setting) -> dict[str, float] | None:
    """McNemar's exact test, which knows one run a side."""
    if len(one.runs) > 1 or len(other.runs) > 1:
        return None
    right = [probs.argmax(axis=1) == one.test.labels for s in (one, other) for probs in s.probs]
    return mcnemar(right[0], right[1])


def sets_of(bench: Bench, rows: list[dict[str, Any]], figure: str, number: str = "") -> list[str]:
    """Letters of each setting: two that share one cannot be told apart (Piepho 2004).

    Args:
        bench: of the settings.
        rows: as `compare` gives them.
        figure: one of COMPARED.
        number: of the bench, put behind each letter.
    """
    apart = {frozenset(row["runs"]) for row in rows if row[figure]["apart"]}
    first = [setting.runs[0].name for setting in bench.settings]
    places = range(len(first))
    together: nx.Graph[int] = nx.Graph()
    together.add_nodes_from(places)
    together.add_edges_from(
        (one, other)
        for one, other in combinations(places, 2)
        if frozenset((first[one], first[other])) not in apart
    )
    values = [-float(measured.resampled[0]) for measured in bench.measured[figure]]
    rank = np.argsort(np.argsort(values, kind="stable"))
    letters = [""] * len(first)
    cliques = sorted(nx.find_cliques(together), key=lambda clique: sorted(rank[clique]))
    for which, clique in enumerate(cliques):
        for place in clique:
            letters[place] += _letter(which) + number
    return letters


def _letter(place: int) -> str:
    more, letter = divmod(place, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(more) if more else "")
