"""Choices on val after training: the temperature, the operating point and the winner.

The functions take a `Validation` or a `Candidate`, so that test cases are not passed by mistake.
`Validation.of` refuses rows of other partitions; a `Candidate` is not checked.
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
HOTTEST = 20.0  # upper bound of the temperature; the lower bound is its reciprocal


@dataclass(frozen=True)
class Validation:
    """Labels and probabilities of the validation cases of a run.

    Attributes:
        labels: (n,) labels in 0..k-1.
        probs: (n, k) probabilities; rows sum to 1.
    """

    labels: Labels
    probs: Floats

    @classmethod
    def of(cls, predictions: pd.DataFrame, classes: Sequence[str]) -> Self:
        """Return the validation cases in rows of predictions.csv.

        Args:
            predictions: Rows of validation cases only.
            classes: Class names in the order of the labels.

        Raises:
            ValueError: If there is no row, or if a row is not a validation case.
        """
        if predictions.empty or not (predictions["partition"] == "val").all():
            raise ValueError("only val cases may be used for a choice")
        return cls(*labels_and_probs(predictions, classes))


def choose_temperature(val: Validation) -> float:
    """Return the temperature from 0.05 to 20 with the lowest cross-entropy on val.

    The method is temperature scaling (Guo et al. 2017).
    """
    bound = float(np.log(HOTTEST))

    def loss(log_temperature: float) -> float:
        return cross_entropy(val.labels, with_temperature(val.probs, np.exp(log_temperature)))

    from scipy.optimize import minimize_scalar  # only scoring needs it, and it takes time to load

    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def is_at_bound(temperature: float) -> bool:
    """Return whether a temperature is at a bound of its range, so that it has no meaning."""
    return not 1.01 / HOTTEST < temperature < 0.99 * HOTTEST


def choose_threshold(val: Validation, focus: int) -> float | None:
    """Return the highest threshold with at least the target sensitivity for the focus class on val.

    Args:
        val: Validation cases.
        focus: Label of the focus class.

    Returns:
        Smallest probability of the focus class that counts as positive; None if val has no case of
        the class.
    """
    scores = np.sort(val.probs[val.labels == focus, focus])[::-1]
    if not len(scores):
        return None
    return float(scores[int(np.ceil(SENSITIVITY * len(scores) - 1e-9)) - 1])


@dataclass(frozen=True)
class Candidate:
    """The metrics on val by which a setting or a run is selected.

    Attributes:
        name: Name of the setting or the run.
        macro_auc: Macro AUC on val.
        focus_sensitivity: Sensitivity for the focus class on val.
    """

    name: str
    macro_auc: float
    focus_sensitivity: float


def selection_rule(names: ClassNames) -> str:
    """Return a description of the selection of a winner."""
    return (
        f"highest val macro AUC, then highest val {names.focus} sensitivity (means over seeds), "
        "among the settings of a split that predict more than one class on val; no setting if val "
        "is test, or if the best one is not shown to be better than chance on test"
    )


def choose_winner(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate with the highest macro AUC, then the highest sensitivity for the focus.

    If several candidates are equal, the first one is returned.
    """
    return max(candidates, key=lambda one: (one.macro_auc, one.focus_sensitivity))
