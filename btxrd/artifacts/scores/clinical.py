"""Calibration and the operating point of the focus class."""

from dataclasses import dataclass

from btxrd.artifacts.scores.estimates import Estimate


@dataclass(frozen=True)
class Calibration:
    """Calibration of the test probabilities.

    Attributes:
        ece: Expected calibration error.
        brier: Brier score.
        cross_entropy: Cross-entropy, without an interval.
    """

    ece: Estimate
    brier: Estimate
    cross_entropy: float


@dataclass(frozen=True)
class CalibrationChange:
    """Calibration before and after temperature scaling.

    Attributes:
        before: Without temperature scaling.
        after: With temperature scaling.
    """

    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class PointMetrics:
    """Metrics of the focus class at a threshold.

    Attributes:
        sensitivity: Share of the cases of the class that are positive.
        specificity: Share of the other cases that are negative.
        precision: Share of the positive cases that are of the class.
    """

    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that was chosen on val.

    Attributes:
        val_sensitivity_asked: Target sensitivity on val.
        threshold: Smallest probability of the focus class that counts as positive.
        val: Sensitivity, specificity and precision on val.
        test: Metrics on test.
        per_center: Metrics on test by center.
    """

    val_sensitivity_asked: float
    threshold: float
    val: dict[str, float | None]
    test: PointMetrics
    per_center: dict[str, PointMetrics]


@dataclass(frozen=True)
class Clinical:
    """Temperature scaling and operating point.

    Attributes:
        temperature: Divisor of the logits, fitted on val.
        calibration: Calibration on test, before and after scaling.
        operating_point: Threshold of the focus class; None if val has no case of it.
    """

    temperature: float
    calibration: CalibrationChange
    operating_point: OperatingPoint | None
