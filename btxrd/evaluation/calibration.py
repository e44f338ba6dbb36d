"""How the probabilities of a run can be used: calibrated, and at an operating point."""

from typing import Any

import numpy as np

from btxrd.evaluation.bootstrap import (
    Estimate,
    Groups,
    bootstrap_weights,
    estimate,
    with_sample,
)
from btxrd.evaluation.metrics import (
    MALIGNANT,
    SMALLEST,
    Floats,
    Labels,
    brier,
    cross_entropy,
    expected_calibration_error,
    rate,
    with_temperature,
)
from btxrd.evaluation.selection import (
    SENSITIVITY,
    Validation,
    choose_temperature,
    choose_threshold,
)


def clinical_reading(
    val: Validation, labels: Labels, probs: Floats, groups: Groups, centers: Labels
) -> dict[str, Any]:
    """Choose a temperature and a threshold on val, and see what they give on test.

    Args:
        val: of the run.
        labels: (n,) of test.
        probs: (n, 3) of test.
        groups: (n,) of test, the resampled units.
        centers: (n,) of test.

    Returns:
        `temperature`; `calibration` of test `before` and `after` it; `operating_point`, null where
        val has no malignant case: its `threshold`, and sensitivity, specificity and precision to
        malignant on `val`, on `test`, and in test `per_center`.
    """
    weights = with_sample(bootstrap_weights(groups))
    temperature = choose_temperature(val)
    calibrated = with_temperature(probs, temperature)
    return {
        "temperature": temperature,
        "calibration": {
            "before": _calibration(labels, probs, weights),
            "after": _calibration(labels, calibrated, weights),
        },
        "operating_point": _operating_point(val, labels, probs, weights, centers),
    }


def _calibration(labels: Labels, probs: Floats, weights: Floats) -> dict[str, Any]:
    right = probs.argmax(axis=1) == labels
    return {
        "ece": estimate(expected_calibration_error(right, probs.max(axis=1), weights)),
        "brier": estimate(brier(labels, probs, weights)),
        "cross_entropy": cross_entropy(labels, np.clip(probs, SMALLEST, None)),
    }


def _operating_point(
    val: Validation, labels: Labels, probs: Floats, weights: Floats, centers: Labels
) -> dict[str, Any] | None:
    threshold = choose_threshold(val)
    if threshold is None:
        return None

    def at(labels: Labels, probs: Floats, weights: Floats) -> dict[str, Estimate]:
        malignant, called = labels == MALIGNANT, probs[:, MALIGNANT] >= threshold
        return {
            "sensitivity": estimate(rate(called, malignant, weights)),
            "specificity": estimate(rate(~called, ~malignant, weights)),
            "precision": estimate(rate(malignant, called, weights)),
        }

    on_val = at(val.labels, val.probs, np.ones((1, len(val.labels))))
    return {
        "val_sensitivity_asked": SENSITIVITY,
        "threshold": threshold,
        "val": {name: figure["value"] for name, figure in on_val.items()},
        "test": at(labels, probs, weights),
        "per_center": {
            str(center): at(labels[here], probs[here], weights[:, here])
            for center in np.unique(centers)
            for here in [centers == center]
        },
    }
