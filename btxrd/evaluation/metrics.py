"""The metrics of a classifier, in one table.

To add a metric, add an entry to `METRICS`, with its formula in `formulas`. From there it reaches
metrics.json, summary.csv, the terminal, the report and the model card. Existing runs have an empty
cell until they are scored again with `btxrd score`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from btxrd.artifacts.classes import ClassNames
from btxrd.evaluation.formulas import (
    Flags,
    average_precision,
    brier,
    expected_calibration_error,
    f1,
    macro_auc,
    mean,
    rate,
    ratio,
    roc_auc,
)
from btxrd.evaluation.formulas import Floats as Floats
from btxrd.evaluation.formulas import Labels as Labels


@dataclass(frozen=True)
class Cases:
    """Labels and probabilities of cases.

    Attributes:
        labels: (n,) labels in 0..k-1.
        probs: (n, k) probabilities; rows sum to 1.
        names: Names of the k classes.
    """

    labels: Labels
    probs: Floats
    names: ClassNames

    @cached_property
    def predicted(self) -> Labels:
        """Predicted labels (n,): those with the highest probability."""
        return np.asarray(self.probs.argmax(axis=1))

    @cached_property
    def one_vs_rest(self) -> "list[OneVsRest]":
        """The cases as each class against the others, in the order of the labels."""
        return [
            OneVsRest(self.labels == label, self.predicted == label, self.probs[:, label])
            for label in range(len(self.names))
        ]


@dataclass(frozen=True)
class OneVsRest:
    """Cases as one class against the others.

    Attributes:
        truth: (n,) whether each case is of the class.
        predicted: (n,) whether each case is predicted as the class.
        score: (n,) probability of the class for each case.
    """

    truth: Flags
    predicted: Flags
    score: Floats


@dataclass(frozen=True)
class Metric:
    """A metric, with its formula and the places where it is shown.

    Attributes:
        name: Key in files. `{focus}` and `{background}` stand for the names of these classes.
        title: Heading in the report, the model card and the terminal, with the same placeholders.
        better: Whether a higher or a lower value is better.
        low: Smallest possible value.
        high: Largest possible value.
        undefined: Reason why the metric may be undefined, with the same placeholders; None if there
            is none.
        compute: Formula for all classes together; None if the metric exists per class only.
        compute_per_class: Formula for one class against the others; None if there is none.
        among: Function that returns the cases in the denominator, as one or several sets, such as
            the classes of an AUC. The smallest number of groups in a set determines the interval of
            a value of 0 or 1. None for a metric without a denominator.
        among_per_class: The same function for one class against the others.
        headline: Whether it is in summary.csv, the card and the report's table of settings.
        per_center: Whether it is computed for each center, too.
        in_terminal: Whether the table in the terminal shows it.
        as_percent: Whether pages show it as a percentage.
        chance: Function that returns the value without any skill; None if it is not a constant.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    low: float
    high: float
    undefined: str | None = None
    compute: Callable[[Cases, Floats], Floats] | None = None
    compute_per_class: Callable[[OneVsRest, Floats], Floats] | None = None
    among: Callable[[Cases], Sequence[Flags]] | None = None
    among_per_class: Callable[[OneVsRest], Sequence[Flags]] | None = None
    headline: bool = False
    per_center: bool = False
    in_terminal: bool = False
    as_percent: bool = False
    chance: Callable[[ClassNames], float | None] = lambda names: None

    def key(self, names: ClassNames) -> str:
        """Return the key of the metric in files, for the names of the classes."""
        return self.name.format(focus=names.focus, background=names.background)

    def heading(self, names: ClassNames) -> str:
        """Return the heading of the metric, for the names of the classes."""
        return self.title.format(focus=names.focus, background=names.background)

    def reason(self, names: ClassNames) -> str:
        """Return the reason why the metric is undefined, for the names of the classes."""
        found = self.undefined or "it cannot be computed from these cases"
        return found.format(focus=names.focus, background=names.background)

    def exists_for(self, names: ClassNames) -> bool:
        """Return whether the metric exists for the classes; some metrics need a background."""
        return names.background is not None or "{background}" not in self.name


def headline_metrics(names: ClassNames) -> list[Metric]:
    """Return the headline metrics that exist for the classes."""
    return [one for one in METRICS if one.headline and one.exists_for(names)]


def compute_metrics(cases: Cases, weights: Floats) -> dict[str, Floats]:
    """Compute every metric of cases.

    Args:
        cases: n cases.
        weights: (resamples, n) weights, not negative.

    Returns:
        (resamples,) values by key; the key of a metric per class is `CLASS.name`.
    """
    found: dict[str, Floats] = {}
    for metric in METRICS:
        if metric.compute is not None and metric.exists_for(cases.names):
            found[metric.key(cases.names)] = metric.compute(cases, weights)
        if metric.compute_per_class is not None:
            for name, one in zip(cases.names.names, cases.one_vs_rest, strict=True):
                found[f"{name}.{metric.name}"] = metric.compute_per_class(one, weights)
    return found


def denominators(cases: Cases) -> dict[str, Sequence[Flags]]:
    """Return the sets of cases of `among` for each metric, by the keys of `compute_metrics`."""
    found: dict[str, Sequence[Flags]] = {}
    for metric in METRICS:
        if metric.among is not None and metric.exists_for(cases.names):
            found[metric.key(cases.names)] = metric.among(cases)
        if metric.among_per_class is not None:
            for name, one in zip(cases.names.names, cases.one_vs_rest, strict=True):
                found[f"{name}.{metric.name}"] = metric.among_per_class(one)
    return found


def _everyone(cases: Cases) -> list[Flags]:
    return [np.ones(len(cases.labels), bool)]


def _each_class(cases: Cases) -> list[Flags]:
    return [one.truth for one in cases.one_vs_rest if one.truth.any()]


def _own(one: OneVsRest) -> list[Flags]:
    return [one.truth]


def accuracy(cases: Cases, weights: Floats) -> Floats:
    """Compute the share of the cases that are predicted correctly: (resamples,)."""
    return mean(cases.predicted == cases.labels, weights)


def balanced_accuracy(cases: Cases, weights: Floats) -> Floats:
    """Compute the mean sensitivity of the classes that are present: (resamples,)."""
    recalls = np.array([sensitivity(one, weights) for one in cases.one_vs_rest])
    present = ~np.isnan(recalls)
    return ratio(np.where(present, recalls, 0).sum(axis=0), present.sum(axis=0))


def macro_f1(cases: Cases, weights: Floats) -> Floats:
    """Compute the mean F1 score of all classes: (resamples,)."""
    by_class = [f1(one.truth, one.predicted, weights) for one in cases.one_vs_rest]
    return np.asarray(np.mean(by_class, axis=0))


def focus_as_background(cases: Cases, weights: Floats) -> Floats:
    """Compute the share of the focus class that is predicted as background: (resamples,)."""
    names = cases.names
    return rate(
        cases.predicted == names.background_label, cases.labels == names.focus_label, weights
    )


def sensitivity(one: OneVsRest, weights: Floats) -> Floats:
    """Compute the share of the cases of the class that are predicted as it: (resamples,)."""
    return rate(one.predicted, one.truth, weights)


def specificity(one: OneVsRest, weights: Floats) -> Floats:
    """Compute the share of the other cases that are not predicted as the class: (resamples,)."""
    return rate(~one.predicted, ~one.truth, weights)


def precision(one: OneVsRest, weights: Floats) -> Floats:
    """Compute the share of the cases predicted as the class that are of it: (resamples,)."""
    return rate(one.truth, one.predicted, weights)


METRICS: tuple[Metric, ...] = (
    Metric(
        "accuracy", "accuracy", "higher", 0, 1, compute=accuracy, among=_everyone,
        headline=True, per_center=True, in_terminal=True,
    ),
    Metric(
        "balanced_accuracy", "balanced accuracy", "higher", 0, 1, compute=balanced_accuracy,
        among=_each_class, headline=True, chance=lambda names: 1 / len(names),
    ),
    Metric(
        "macro_auc", "macro AUC", "higher", 0, 1, "a class is absent",
        compute=lambda cases, weights: macro_auc(cases.labels, cases.probs, weights),
        among=_each_class,
        headline=True, per_center=True, in_terminal=True, chance=lambda names: 0.5,
    ),
    Metric(
        "macro_f1", "macro F1", "higher", 0, 1, compute=macro_f1, among=_each_class, headline=True,
    ),
    Metric(
        "brier", "Brier score", "lower", 0, 2,
        compute=lambda cases, weights: brier(cases.labels, cases.probs, weights), headline=True,
    ),
    Metric(
        "ece", "ECE", "lower", 0, 1,
        compute=lambda cases, weights: expected_calibration_error(
            cases.predicted == cases.labels, cases.probs.max(axis=1), weights
        ),
        headline=True,
    ),
    Metric(
        "{focus}_predicted_{background}", "{focus} predicted {background}", "lower", 0, 1,
        "no case is {focus}", compute=focus_as_background,
        among=lambda cases: [cases.labels == cases.names.focus_label],
        headline=True, as_percent=True,
    ),
    Metric(
        "auc", "AUC", "higher", 0, 1, "all cases are of this class, or none is",
        compute_per_class=lambda one, weights: roc_auc(one.truth, one.score, weights),
        among_per_class=lambda one: [one.truth, ~one.truth],
    ),
    Metric(
        "average_precision", "average precision", "higher", 0, 1, "no case is of this class",
        compute_per_class=lambda one, weights: average_precision(one.truth, one.score, weights),
        among_per_class=_own,
    ),
    Metric(
        "sensitivity", "sensitivity", "higher", 0, 1, "no case is of this class",
        compute_per_class=sensitivity, among_per_class=_own,
    ),
    Metric(
        "specificity", "specificity", "higher", 0, 1, "all cases are of this class",
        compute_per_class=specificity, among_per_class=lambda one: [~one.truth],
    ),
    Metric(
        "precision", "precision", "higher", 0, 1, "no case is predicted as this class",
        compute_per_class=precision, among_per_class=lambda one: [one.predicted],
    ),
    Metric(
        "f1", "F1", "higher", 0, 1,
        compute_per_class=lambda one, weights: f1(one.truth, one.predicted, weights),
        among_per_class=_own,
    ),
)  # fmt: skip
