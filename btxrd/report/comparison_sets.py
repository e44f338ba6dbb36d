"""Settings with the same test cases, and their metrics over the seeds and the resamples."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.evidence.comparison import SettingEstimate
from btxrd.evaluation import paired_tests
from btxrd.evaluation.bootstrap import bootstrap_weights, estimate, with_sample
from btxrd.evaluation.formulas import macro_auc, mean
from btxrd.evaluation.metrics import Floats
from btxrd.evaluation.paired_tests import InfluenceValues, mean_influence
from btxrd.report.settings import Setting

COMPARED = ("macro_auc", "accuracy")
FEWEST_GROUPS = 10  # of the test cases; with fewer groups, no difference is tested
FEWEST_IN_CLASS = 5  # groups of a class; with fewer, an interval of macro AUC is unreliable


@dataclass(frozen=True)
class SeedVariance:
    """The variation of a metric between seeds on one test set.

    Attributes:
        sd: Standard deviation, pooled over the settings with several seeds; 0 if there is none.
        df: Degrees of freedom of the standard deviation; 0 if it is unknown.
    """

    sd: float = 0.0
    df: int = 0

    @classmethod
    def of(cls, values: Sequence[Floats]) -> Self:
        """Pool the variances of settings.

        Args:
            values: (seeds,) metric of each seed, for each setting with several seeds.
        """
        df = sum(len(seeds) - 1 for seeds in values)
        if df == 0:
            return cls()
        squares = sum(float(((seeds - seeds.mean()) ** 2).sum()) for seeds in values)
        return cls(float(np.sqrt(squares / df)), df)

    def variance(self, *settings: Setting) -> float:
        """Return the variance that seeds add to the sum or difference of the settings' means."""
        return self.sd**2 * sum(1 / len(setting.runs) for setting in settings)

    def noise(self, count: int, *settings: Setting, stream: int = 0) -> Floats:
        """Draw noise with the variance that seeds add, from Student's t distribution.

        Args:
            count: Number of resamples.
            settings: The settings of a sum or a difference.
            stream: Number of the random stream; different streams are independent.

        Returns:
            (1 + count,) values; the first one, for the sample, is 0.
        """
        if self.df == 0:
            return np.zeros(1 + count)
        draws = np.random.default_rng((0, stream)).standard_t(self.df, count)
        return np.append(0, draws * np.sqrt(self.variance(*settings)))

    def joint_noise(self, count: int, variances: Floats) -> Floats:
        """Draw noise for several settings, which shares the uncertainty of the standard deviation.

        Args:
            count: Number of resamples.
            variances: (n,) variance of the noise of each setting.

        Returns:
            (1 + count, n) values; the first row, for the sample, is 0.
        """
        if self.df == 0:
            return np.zeros((1 + count, len(variances)))
        draw = np.random.default_rng((0, 2))
        normal = draw.standard_normal((1 + count, len(variances))) * np.sqrt(variances)
        normal[0] = 0
        return normal * np.sqrt(self.df / draw.chisquare(self.df, (1 + count, 1)))


class SettingMetric:
    """A metric of a setting, as the mean over the seeds.

    Attributes:
        setting: The setting.
        seeds: (seeds,) the metric of each run.
        resampled: (1 + resamples,) mean over the seeds, for the sample and for each resample.
        influence: Mean over the seeds, with the influence of each case on it.
    """

    def __init__(self, setting: Setting, metric: str, weights: Floats) -> None:
        """Compute the metric.

        Args:
            setting: The setting.
            metric: One of `COMPARED`.
            weights: (1 + resamples, n) weights of its test cases, the sample first.
        """
        labels = setting.test.labels
        self.setting = setting
        if metric == "macro_auc":
            by_seed = [macro_auc(labels, probs, weights) for probs in setting.probs]
            of_seeds = [paired_tests.macro_auc_influence(labels, probs) for probs in setting.probs]
        else:
            right = [probs.argmax(axis=1) == labels for probs in setting.probs]
            by_seed = [mean(hits, weights) for hits in right]
            of_seeds = [paired_tests.accuracy_influence(labels, probs) for probs in setting.probs]
        self.seeds = np.array([values[0] for values in by_seed])
        self.resampled: Floats = np.asarray(np.mean(by_seed, axis=0))
        self.influence: InfluenceValues = mean_influence(of_seeds)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds; None for one seed, or if the metric is undefined."""
        return float(self.seeds.std(ddof=1)) if self.has_spread else None

    @property
    def has_spread(self) -> bool:
        """Whether the variance between its seeds is known."""
        return len(self.seeds) > 1 and not np.isnan(self.seeds).any()


@dataclass(frozen=True)
class ComparisonSet:
    """Settings with the same test cases.

    Attributes:
        settings: The settings, ordered by macro AUC on val.
    """

    settings: list[Setting]

    @property
    def names(self) -> ClassNames:
        """The classes, which are the same for all settings."""
        return self.settings[0].names

    @cached_property
    def groups(self) -> int:
        """Number of groups of the test cases."""
        return len(np.unique(self.settings[0].test.groups))

    @cached_property
    def fewest(self) -> int:
        """Smallest number of groups of a class."""
        test = self.settings[0].test
        return min(
            len(np.unique(test.groups[test.labels == label])) for label in range(len(self.names))
        )

    @cached_property
    def weights(self) -> Floats:
        """Weights (1 + resamples, n) of the test cases; the first row is the sample."""
        return with_sample(bootstrap_weights(self.settings[0].test.groups))

    @cached_property
    def metrics(self) -> dict[str, list[SettingMetric]]:
        """Each setting's metrics, by the name of the metric."""
        return {
            metric: [SettingMetric(setting, metric, self.weights) for setting in self.settings]
            for metric in COMPARED
        }

    @cached_property
    def auc_of_classes(self) -> list[list[InfluenceValues]]:
        """AUC of each class, for each setting: the mean over the seeds, with influence values."""
        truths = [self.settings[0].test.labels == label for label in range(len(self.names))]
        return [
            [
                mean_influence([paired_tests.auc_influence(truth, p[:, k]) for p in setting.probs])
                for k, truth in enumerate(truths)
            ]
            for setting in self.settings
        ]

    def seed_variance(self, metric: str) -> SeedVariance:
        """Return the variation of a metric between seeds, pooled over the settings."""
        return SeedVariance.of([one.seeds for one in self.metrics[metric] if one.has_spread])

    def estimate(self, metric: str, position: int, letters: str) -> SettingEstimate:
        """Return a metric of a setting, with its interval and its standard deviation over seeds.

        The interval includes the variance between seeds.

        Args:
            metric: One of `COMPARED`.
            position: Index of the setting.
            letters: Letters of the setting in the compact letter display.
        """
        one = self.metrics[metric][position]
        noise = self.seed_variance(metric).noise(len(self.weights) - 1, one.setting)
        units = self.fewest if metric == "macro_auc" else self.groups
        found = estimate(np.clip(one.resampled + noise, 0, 1), units)
        return SettingEstimate(found.value, found.low, found.high, one.sd, letters)


def comparison_sets(settings: Sequence[Setting]) -> list[ComparisonSet]:
    """Return the sets of settings whose test cases, labels, groups and classes are equal.

    The settings of a set are ordered by macro AUC on val, the best one first.
    """
    equal: dict[tuple[bytes, ClassNames], list[Setting]] = defaultdict(list)
    for setting in settings:
        equal[setting.test.identity].append(setting)
    return [ComparisonSet(sorted(members, key=_rank)) for members in equal.values()]


def _rank(setting: Setting) -> float:
    return 0.0 if setting.val is None else -setting.val.macro_auc
