"""Compute the generalisation gap: the difference between seen and unseen centers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from btxrd.artifacts.evidence.comparison import Gap, MetricGap
from btxrd.artifacts.evidence.verdicts import GapVerdict, Skill
from btxrd.evaluation.bootstrap import bootstrap_weights, estimate, with_sample
from btxrd.evaluation.formulas import equal_priors, macro_auc_with_equal_priors, mean
from btxrd.evaluation.metrics import Floats
from btxrd.report.comparison_sets import COMPARED, FEWEST_IN_CLASS, ComparisonSet
from btxrd.report.settings import Setting

UNSEEN = ("center", "leave_one_center_out")


@dataclass(frozen=True)
class Resampled:
    """A metric on one side of a gap, as the mean over the seeds.

    Attributes:
        plain: (1 + resamples,) the metric, for the sample and for each resample.
        balanced: (1 + resamples,) the metric with equal class weights.
    """

    plain: Floats
    balanced: Floats


def generalisation_gap(
    sets: Sequence[ComparisonSet], skills: Mapping[Setting, Skill], margin: float
) -> list[Gap]:
    """Compute the metrics on `stratified` minus those at unseen centers.

    There is one gap for every two settings that differ in the split alone. Groups that are in both
    test sets are resampled together, so the confidence interval accounts for them.

    Args:
        sets: The settings, by their test cases.
        skills: Whether each setting is better than chance. The verdict on the others is
            `not_assessed`.
        margin: Smallest difference in macro AUC that matters.
    """
    return [
        replace(gap, verdict=_verdict(gap, skills[setting], far.fewest, margin))
        for near in sets
        for far in sets
        for setting, gap in _gaps(near, far)
    ]


def _verdict(gap: Gap, skill: Skill, fewest: int, margin: float) -> GapVerdict:
    """Return the verdict on a gap in macro AUC.

    Args:
        gap: The gap.
        skill: Whether the setting is better than chance on the stratified split.
        fewest: Smallest number of groups of a class at the unseen centers.
        margin: Smallest difference that matters.
    """
    found = gap.metrics["macro_auc"].gap
    if skill != "above_chance" or found.low is None or found.high is None:
        return "not_assessed"
    if fewest < FEWEST_IN_CLASS:
        return "not_enough_data"
    if found.low > 0:
        return "loss"
    if found.high < 0:
        return "gain"
    return "no_loss" if found.high < margin else "not_enough_data"


def _gaps(seen: ComparisonSet, unseen: ComparisonSet) -> list[tuple[Setting, Gap]]:
    pairs = [
        (near, far)
        for near in seen.settings
        if near.strategy == "stratified"
        for far in unseen.settings
        if far.strategy in UNSEEN and far.without_split == near.without_split
    ]
    if not pairs:
        return []
    tests = [compared.settings[0].test for compared in (seen, unseen)]
    weights = with_sample(bootstrap_weights(np.concatenate([test.groups for test in tests])))
    of_near, of_far = np.split(weights, [len(tests[0].labels)], axis=1)
    gaps = []
    for near, far in pairs:
        held_out = np.isin(tests[1].centers, far.held_out)  # groups may have cases of other centers
        sides = (
            _resampled(near, of_near, np.ones(len(tests[0].labels), bool)),
            _resampled(far, of_far[:, held_out], held_out),
        )
        metrics = {}
        for metric in COMPARED:
            noise = seen.seed_variance(metric).noise(len(weights) - 1, near)
            noise = noise + unseen.seed_variance(metric).noise(len(weights) - 1, far, stream=1)
            metrics[metric] = _gap(sides[0][metric], sides[1][metric], noise)
        runs = near.runs[0].name, far.runs[0].name
        gap = Gap(near.name, far.split, (near.seeds, far.seeds), runs, metrics)
        gaps.append((near, gap))
    return gaps


def _gap(near: Resampled, far: Resampled, noise: Floats) -> MetricGap:
    plain, balanced = near.plain - far.plain, near.balanced - far.balanced
    return MetricGap(
        seen=estimate(near.plain).value,
        unseen=estimate(far.plain).value,
        gap=estimate(np.clip(plain + noise, -1, 1)),
        class_balanced_gap=estimate(np.clip(balanced + noise, -1, 1)),
        prior_shift=estimate(plain - balanced),
    )


def _resampled(
    setting: Setting, weights: Floats, chosen: npt.NDArray[np.bool_]
) -> dict[str, Resampled]:
    """Return each compared metric on the chosen cases, for the sample and for each resample."""
    labels, by_seed = setting.test.labels[chosen], [probs[chosen] for probs in setting.probs]
    balanced = equal_priors(labels, len(setting.names), weights)
    right = [probs.argmax(axis=1) == labels for probs in by_seed]

    def over_seeds(values: list[Floats]) -> Floats:
        return np.asarray(np.mean(values, axis=0))

    areas = [macro_auc_with_equal_priors(labels, probs, weights) for probs in by_seed]
    return {
        "macro_auc": Resampled(
            over_seeds([plain for plain, _ in areas]), over_seeds([even for _, even in areas])
        ),
        "accuracy": Resampled(
            over_seeds([mean(hits, weights) for hits in right]),
            over_seeds([mean(hits, balanced) for hits in right]),
        ),
    }
