"""Compute metrics of the predictions on masked images, and of the baselines without pixels."""

from collections.abc import Mapping

import numpy as np

from btxrd.artifacts.scores.localisation import VariantMetrics
from btxrd.evaluation.bootstrap import Groups, bootstrap_weights, estimate, units_of, with_sample
from btxrd.evaluation.formulas import Floats, Labels, macro_auc, rate

UNMODIFIED = "unmodified"  # variant that the others are compared with


def score_shortcuts(
    labels: Labels, probs: Floats, groups: Groups, variants: Mapping[str, Floats]
) -> dict[str, VariantMetrics]:
    """Compute the metrics of each variant, and its difference from the unmodified images.

    The difference is paired: both macro AUCs are on the same cases and the same resamples.

    Args:
        labels: (n,) labels in 0..k-1.
        probs: (n, k) probabilities on the unmodified images.
        groups: (n,) name of the group of each case; groups are resampled.
        variants: (n, k) probabilities by variant.

    Returns:
        Metrics by variant.
    """
    weights = with_sample(bootstrap_weights(groups))
    everyone, units = np.ones(len(labels), bool), len(np.unique(groups))
    each_class = [labels == label for label in np.unique(labels)]
    unmodified = macro_auc(labels, probs, weights)
    found = {}
    for name, other in variants.items():
        area = macro_auc(labels, other, weights)
        found[name] = VariantMetrics(
            macro_auc=estimate(area, units_of(groups, each_class)),
            accuracy=estimate(rate(other.argmax(axis=1) == labels, everyone, weights), units),
            difference=estimate(area - unmodified),
        )
    return found
