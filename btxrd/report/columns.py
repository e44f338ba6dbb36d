"""The headline metrics as columns of tables, for the classes of all runs."""

from collections.abc import Iterable
from dataclasses import dataclass

from btxrd.artifacts.classes import ClassNames
from btxrd.evaluation import metrics
from btxrd.evaluation.metrics import Metric


@dataclass(frozen=True)
class Column:
    """A headline metric.

    Attributes:
        key: Key of the metric in files.
        heading: Heading in tables.
        metric: Entry in `METRICS`.
    """

    key: str
    heading: str
    metric: Metric

    def is_about(self, names: ClassNames) -> bool:
        """Return whether the metric exists under this key for the classes."""
        return self.metric.exists_for(names) and self.metric.key(names) == self.key


def columns_of(classes: Iterable[ClassNames]) -> list[Column]:
    """Return a column for each headline metric, in the order of `METRICS`.

    A metric with the name of a class in its key has a column for each different key.
    """
    sets = list(dict.fromkeys(classes))
    found: dict[str, Column] = {}
    for metric in metrics.METRICS:
        if not metric.headline:
            continue
        for names in sets:
            if metric.exists_for(names):
                column = Column(metric.key(names), metric.heading(names), metric)
                found.setdefault(column.key, column)
        if not sets and "{" not in metric.name:
            found[metric.name] = Column(metric.name, metric.title, metric)
    return list(found.values())
