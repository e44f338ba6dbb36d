"""The part of summary.json that its charts are drawn from: curves on common grids."""

from dataclasses import dataclass

Points = tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A curve of one setting: the mean over its seeds, with 4 digits.

    Attributes:
        setting: Name of the setting.
        y: One value for each point of the grid.
        low: Lower ends of pointwise 95% confidence intervals; None without a band.
        high: Upper ends.
    """

    setting: str
    y: Points
    low: Points | None = None
    high: Points | None = None


@dataclass(frozen=True)
class CalibrationCurve:
    """How often the focus class is true among test cases with a similar probability for it.

    The cases of all seeds are put into ten bins of equal width. Neighbouring bins are merged until
    each has ten cases.

    Attributes:
        setting: Name of the setting.
        is_scaled: Whether the probabilities are those after temperature scaling.
        predicted: Mean probability in each bin.
        observed: Share of the focus class in each bin.
        low: Lower ends of 95% confidence intervals of the share.
        high: Upper ends.
        count: Number of cases in each bin, as the mean over the seeds.
    """

    setting: str
    is_scaled: bool
    predicted: Points
    observed: Points
    low: Points
    high: Points
    count: Points


@dataclass(frozen=True)
class ClassCurves:
    """Curves of one class against the others; empty if a test set lacks either.

    Attributes:
        prevalence: Share of the class among the test cases.
        roc: Sensitivity over 1 - specificity, both on `CurveSet.grid`.
        precision_recall: Precision over sensitivity.
    """

    prevalence: float
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]


@dataclass(frozen=True)
class CurveSet:
    """Curves of the settings that are tested on the same cases.

    Attributes:
        split: Title of the split.
        split_hash: Hash of split.csv.
        is_unseen: Whether its test cases are of centers without training cases.
        n: Number of test cases.
        focus: The class of `calibration` and `net_benefit`.
        highlighted: Names of its settings in colour, selected ones first. They have bands.
        grid: Values of the horizontal axis of ROC and precision-recall curves.
        per_class: By class name. Only curves of the focus class have bands.
        calibration: Of the highlighted settings.
        thresholds: Values of the horizontal axis of the decision curves.
        net_benefit: Of the focus class, after temperature scaling where there is a temperature.
        refer_all: Net benefit if every case is referred; it is 0 if none is.
    """

    split: str
    split_hash: str
    is_unseen: bool
    n: int
    focus: str
    highlighted: tuple[str, ...]
    grid: Points
    per_class: dict[str, ClassCurves]
    calibration: tuple[CalibrationCurve, ...]
    thresholds: Points
    net_benefit: tuple[Curve, ...]
    refer_all: Points
