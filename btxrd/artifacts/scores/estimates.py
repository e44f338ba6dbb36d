"""Metrics with confidence intervals: of a class, a center and a partition."""

from dataclasses import dataclass, field

Count = int | float  # a mean over seeds is not whole


@dataclass(frozen=True)
class Estimate:
    """A metric with the ends of its 95% confidence interval; all None if it is undefined.

    Attributes:
        value: The metric.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float | None
    low: float | None
    high: float | None


UNDEFINED = Estimate(None, None, None)
Estimates = dict[str, Estimate]  # by the name of the metric


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class against the others.

    Attributes:
        values: Metrics by name.
        support: Number of cases of the class.
    """

    values: Estimates
    support: Count


@dataclass(frozen=True)
class CenterMetrics:
    """Metrics of the cases of one center.

    Attributes:
        n: Number of cases.
        values: Metrics by name.
    """

    n: Count
    values: Estimates


@dataclass(frozen=True)
class PartitionMetrics:
    """Metrics of one partition.

    Attributes:
        n: Number of cases.
        values: Headline metrics by name. One that was added to btxrd later is absent.
        per_class: Metrics of each class against the others, by class name.
        per_center: Metrics of each center, by center.
        confusion: Number of cases; rows are true classes, columns are predicted ones.
        notes: Reasons why metrics are undefined, by their dotted names. The key `split` has the
            title of the split.
    """

    n: Count
    values: Estimates
    per_class: dict[str, ClassMetrics]
    per_center: dict[str, CenterMetrics]
    confusion: list[list[Count]]
    notes: dict[str, str] = field(default_factory=dict)
