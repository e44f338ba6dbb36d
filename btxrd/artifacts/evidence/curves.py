"""The part of summary.json with the data of the charts: curves on common grids."""

from dataclasses import dataclass

Points = tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A curve of one setting: the mean over its seeds, with 4 digits.

    Attributes:
        setting: Name of the setting.
        y: One value for each point of the grid.
        low: Lower ends of pointwise 95% confidence intervals; None without a band.
        high: Upper ends of these intervals; None without a band.
    """

    setting: str
    y: Points
    low: Points | None = None
    high: Points | None = None


@dataclass(frozen=True)
class CalibrationCurve:
    """Observed share of the focus class among test cases with a similar probability of it.

    The cases of all seeds are put into ten bins of equal width. Neighbouring bins are merged until
    each has ten cases.

    Attributes:
        setting: Name of the setting.
        is_scaled: Whether the probabilities are those after temperature scaling.
        predicted: Mean probability in each bin.
        observed: Share of the focus class in each bin.
        low: Lower ends of 95% confidence intervals of the share.
        high: Upper ends of these intervals.
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
    """Curves of one class against the others; empty if all or none of the cases are of the class.

    Attributes:
        prevalence: Share of the class among the test cases.
        roc: Sensitivity of each setting, at each 1 - specificity in `CurveSet.grid`.
        precision_recall: Precision of each setting, at each sensitivity in `CurveSet.grid`.
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
        is_unseen: Whether its test cases are from centers without training cases.
        n: Number of test cases.
        focus: Name of the class that `calibration` and `net_benefit` are about.
        highlighted: Names of its settings in colour, selected ones first. They have bands.
        grid: Values of the horizontal axis of ROC and precision-recall curves.
        per_class: Curves by class name. Only curves of the focus class have bands.
        calibration: Calibration curves of the highlighted settings.
        thresholds: Values of the horizontal axis of the decision curves.
        net_benefit: Net benefit of each setting for the focus class, after temperature scaling if
            the runs have a temperature.
        refer_all: Net benefit of referring all cases, at each threshold. That of referring none is
            0.
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
