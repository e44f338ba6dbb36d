"""Compute and judge the calibration of the probabilities of a run, and its operating point."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.scores.clinical import (
    Calibration,
    CalibrationChange,
    Clinical,
    OperatingPoint,
    PointMetrics,
)
from btxrd.artifacts.scores.estimates import UNDEFINED, Count, Estimate
from btxrd.evaluation.bootstrap import (
    Groups,
    bootstrap_weights,
    estimate,
    units_of,
    with_sample,
)
from btxrd.evaluation.formulas import (
    SMALLEST,
    Flags,
    Floats,
    Labels,
    brier,
    cross_entropy,
    expected_calibration_error,
    fitted_power,
    rate,
    with_temperature,
)
from btxrd.evaluation.paired_tests import InfluenceValues
from btxrd.evaluation.selection import (
    SENSITIVITY,
    Validation,
    choose_temperature,
    choose_threshold,
)
from btxrd.pages import percent

NORMAL_95 = 1.96  # standard normal quantile of a two-sided 95% interval
USABLE = 0.5  # sensitivity; a threshold is unusable if the whole interval is below it
PointVerdict = Literal["unusable", "below", "not_shown", "reached", "not_known"]


def judged(point: OperatingPoint) -> PointVerdict:
    """Return the verdict on an operating point, from its metrics on test.

    It is unusable if the whole interval of its sensitivity is below one half, or if it marks the
    focus class no more often than the other cases. Otherwise its interval is compared with the
    target sensitivity: it is reached if the whole interval is at or above the target, and missed
    (`below`) if the whole interval is below it.
    """
    found, specificity = point.test.sensitivity, point.test.specificity.value
    if found.value is None or found.low is None or found.high is None:
        return "not_known"
    if found.high < USABLE or (specificity is not None and found.value <= 1 - specificity):
        return "unusable"
    if found.low >= point.val_sensitivity_asked:
        return "reached"
    return "below" if found.high < point.val_sensitivity_asked else "not_shown"


def loses_focus(predicted_background: Estimate, point: OperatingPoint) -> bool:
    """Return whether the share predicted as background is above the allowed one, 1 - target."""
    low = predicted_background.low
    return low is not None and low > 1 - point.val_sensitivity_asked


def share(found: Estimate, *, against: float | None = None, interval: str = "") -> str:
    """Format a share with its 95% interval, such as "4% (1% to 13%)"; see `percent`."""
    if found.value is None:
        return "not known"
    text = percent(found.value, against=against)
    if found.low is None or found.high is None:
        return text
    low, high = (percent(end, against=against) for end in (found.low, found.high))
    return f"{text} ({interval}{low} to {high})"


def of_unusable(point: OperatingPoint, focus: str) -> str:
    """Return a sentence that says why a threshold must not be used."""
    found = share(point.test.sensitivity, interval="95% CI ")
    text = f"Do not use this threshold: on test, it finds {found} of the {focus} images"
    if point.test.specificity.value is not None:
        marked = percent(1 - point.test.specificity.value)
        text += f", and marks {marked} of the other images as {focus}"
    return f"{text}."


def of_missed(found: Estimate, support: Count, names: ClassNames) -> str:
    """Return a sentence on the cases of the focus class that are predicted as background.

    `found` is their share of the `support` cases of the class, as means over the seeds.
    """
    if found.value is None:
        return f"No test image is {names.focus}."
    number = round(found.value * support, 1)  # a mean over seeds is not whole
    text = f"{number:g} of {support:g} {names.focus} test images"
    mean = "" if number == int(number) else ", as the mean over seeds"
    ends = _ends(found.value, found.low, found.high)
    verb = "is" if number == 1 else "are"
    return f"{text}{ends} {verb} predicted {names.background}{mean}."


def _ends(value: float, low: float | None, high: float | None) -> str:
    if (
        low is None or high is None or low == high
    ):  # older files have an interval without width for proportions of 0 and 1
        return ""
    if value not in (0, 1):
        return f" (95% CI {percent(low)} to {percent(high)})"
    first, last = (f"{end:.0%}" if end in (0, 1) else f"{end:.1%}" for end in (low, high))
    return f" (95% CI {first} to {last}, by Clopper-Pearson)"


def calibrate(
    val: Validation,
    labels: Labels,
    probs: Floats,
    groups: Groups,
    centers: Labels,
    names: ClassNames,
) -> Clinical:
    """Choose a temperature and an operating point on val, and compute their metrics on test.

    Args:
        val: Validation cases of the run.
        labels: (n,) labels of the test cases.
        probs: (n, k) probabilities of the test cases.
        groups: (n,) name of the group of each test case; groups are resampled.
        centers: (n,) centers of the test cases.
        names: Names of the k classes.
    """
    weights = with_sample(bootstrap_weights(groups))
    temperature = choose_temperature(val)
    change = CalibrationChange(
        before=_calibration(labels, probs, weights),
        after=_calibration(labels, with_temperature(probs, temperature), weights),
    )
    focus = names.focus_label
    threshold = choose_threshold(val, focus)
    point = None
    if threshold is not None:
        score_of_val = val.probs[:, focus]
        point = _operating_point(
            threshold,
            _at(
                threshold,
                val.labels == focus,
                score_of_val,
                np.ones((1, len(score_of_val))),
                np.arange(len(score_of_val)),
            ),
            labels == focus,
            probs[:, focus],
            weights,
            groups,
            centers,
        )
    return Clinical(temperature, change, point)


def _calibration(labels: Labels, probs: Floats, weights: Floats) -> Calibration:
    right = probs.argmax(axis=1) == labels
    return Calibration(
        ece=estimate(expected_calibration_error(right, probs.max(axis=1), weights)),
        brier=estimate(brier(labels, probs, weights)),
        cross_entropy=cross_entropy(labels, np.clip(probs, SMALLEST, None)),
    )


def _operating_point(
    threshold: float,
    val: PointMetrics,
    truth: Flags,
    score: Floats,
    weights: Floats,
    groups: Groups,
    centers: Labels,
) -> OperatingPoint:
    per_center = {}
    for center in np.unique(centers):
        here = centers == center
        per_center[str(center)] = _at(
            threshold, truth[here], score[here], weights[:, here], groups[here]
        )
    return OperatingPoint(
        val_sensitivity_asked=SENSITIVITY,
        threshold=threshold,
        val={
            "sensitivity": val.sensitivity.value,
            "specificity": val.specificity.value,
            "precision": val.precision.value,
        },
        test=_at(threshold, truth, score, weights, groups),
        per_center=per_center,
    )


def _at(
    threshold: float, truth: Flags, score: Floats, weights: Floats, groups: Groups
) -> PointMetrics:
    """Compute the metrics of the focus class at a threshold."""
    predicted = score >= threshold

    def share(flags: Flags, among: Flags) -> Estimate:
        return estimate(rate(flags, among, weights), units_of(groups, [among]))

    return PointMetrics(
        sensitivity=share(predicted, truth),
        specificity=share(~predicted, ~truth),
        precision=share(truth, predicted),
    )


def calibration_slope(labels: Labels, by_seed: Sequence[Floats], groups: Groups) -> Estimate:
    """Fit the calibration slope: 1 if the probabilities are calibrated, below 1 if too confident.

    The slope is the power of the probabilities with the highest likelihood (Cox 1958, generalised
    to several classes). The interval is computed on the log scale, from a variance that is robust
    to correlation within groups (Liang and Zeger 1986).

    Args:
        labels: (n,) labels of the test cases.
        by_seed: (n, k) calibrated probabilities of each seed.
        groups: (n,) name of the group of each case.

    Returns:
        The mean of the slopes of the seeds, with its interval. It is `UNDEFINED` if a seed has no
        finite slope, for example because its predictions are perfect.
    """
    slopes, influences = [], []
    for probs in by_seed:
        slope, influence = fitted_power(labels, np.clip(probs, SMALLEST, None))
        slopes.append(slope)
        influences.append(influence)
    if not np.isfinite(slopes).all():
        return UNDEFINED
    found = InfluenceValues(float(np.mean(slopes)), np.asarray(np.mean(influences, axis=0)))
    factor = float(np.exp(NORMAL_95 * np.sqrt(found.variance(groups)) / found.value))
    return Estimate(found.value, found.value / factor, found.value * factor)
