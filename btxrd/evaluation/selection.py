"""Everything that is chosen on val: the temperature, the operating point, the winner.

The choices take a `Validation` or a `Candidate`. Neither can hold a test case or a test metric.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.tables import labels_and_probs
from btxrd.evaluation.formulas import Floats, Labels, cross_entropy, with_temperature

SENSITIVITY = 0.90  # target sensitivity for the focus class on val, for the operating point
HOTTEST = 20.0  # bound of the temperature; its reciprocal is the other


@dataclass(frozen=True)
class Validation:
    """The val cases of a run.

    Attributes:
        labels: (n,) in 0..k-1.
        probs: (n, k), rows sum to 1.
    """

    labels: Labels
    probs: Floats

    @classmethod
    def of(cls, predictions: pd.DataFrame, classes: Sequence[str]) -> Self:
        """Take rows of predictions.csv.

        Raises:
            ValueError: If a row is not a val case, or there is none.
        """
        if predictions.empty or not (predictions["partition"] == "val").all():
            raise ValueError("a choice may rest on val cases alone")
        return cls(*labels_and_probs(predictions, classes))


def choose_temperature(val: Validation) -> float:
    """Return the temperature with the lowest cross-entropy on val (Guo et al. 2017)."""
    bound = float(np.log(HOTTEST))

    def loss(log_temperature: float) -> float:
        return cross_entropy(val.labels, with_temperature(val.probs, np.exp(log_temperature)))

    from scipy.optimize import minimize_scalar  # only scoring needs it, and it takes time to load

    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def is_at_bound(temperature: float) -> bool:
    """Return whether cross-entropy still falls at the bound, so that the value has no meaning."""
    return not 1.01 / HOTTEST < temperature < 0.99 * HOTTEST


def choose_threshold(val: Validation, focus: int) -> float | None:
    """Return the highest threshold with at least the target sensitivity for the focus class on val.

    Args:
        val: Val cases.
        focus: Label of the focus class.

    Returns:
        A probability of the focus class; None if val has no case of it.
    """
    scores = np.sort(val.probs[val.labels == focus, focus])[::-1]
    if not len(scores):
        return None
    return float(scores[int(np.ceil(SENSITIVITY * len(scores) - 1e-9)) - 1])


@dataclass(frozen=True)
class Candidate:
    """The val metrics by which a setting or a run can win."""

    name: str
    macro_auc: float
    focus_sensitivity: float


def selection_rule(names: ClassNames) -> str:
    """Describe how `choose_winner` chooses."""
    return (
        f"highest val macro AUC, then highest val {names.focus} sensitivity (means over seeds), of "
        "the settings on one split that predict more than one class on val; none if val is test, "
        "or if that setting is not shown to be better than chance on test"
    )


def choose_winner(candidates: Sequence[Candidate]) -> Candidate:
    """Return the winner by `selection_rule`, the first of equal ones."""
    return max(candidates, key=lambda one: (one.macro_auc, one.focus_sensitivity))
