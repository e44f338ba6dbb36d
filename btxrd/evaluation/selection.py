"""What is chosen on val: the temperature, the operating point, the winner.

The choices take a `Validation` or a `Candidate`. Neither can hold a test case or a figure of one.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from btxrd.data.constants import CLASSES
from btxrd.evaluation.metrics import MALIGNANT, Floats, Labels, cross_entropy, with_temperature

SENSITIVITY = 0.90  # to malignant on val, that the operating point is chosen for
HOTTEST = 20.0
RULE = (
    "highest val macro AUC, then highest val malignant sensitivity (means over seeds), of the "
    "settings on one split; none where val is test"
)


@dataclass(frozen=True)
class Validation:
    """The val cases of a run.

    Attributes:
        labels: (n,) in 0..2.
        probs: (n, 3), rows sum to 1.
    """

    labels: Labels
    probs: Floats

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> Self:
        """Take rows of predictions.csv.

        Raises:
            ValueError: where one is no val case, or there is none.
        """
        if predictions.empty or not (predictions["partition"] == "val").all():
            raise ValueError("a choice may rest on val cases alone")
        return cls(*labels_and_probs(predictions))


def labels_and_probs(predictions: pd.DataFrame) -> tuple[Labels, Floats]:
    """Labels (n,) and probabilities (n, 3) of rows of predictions.csv."""
    labels = predictions["label"].map({name: label for label, name in enumerate(CLASSES)})
    probs = predictions[[f"prob_{name}" for name in CLASSES]]
    return labels.to_numpy(int), probs.to_numpy(float)


def choose_temperature(val: Validation) -> float:
    """The temperature with the lowest cross-entropy (Guo et al. 2017)."""
    bound = float(np.log(HOTTEST))

    def loss(log_temperature: float) -> float:
        return cross_entropy(val.labels, with_temperature(val.probs, np.exp(log_temperature)))

    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def choose_threshold(val: Validation) -> float | None:
    """The highest probability of malignant from which on SENSITIVITY of the malignant are called.

    None where val has no malignant case.
    """
    scores = np.sort(val.probs[val.labels == MALIGNANT, MALIGNANT])[::-1]
    if not len(scores):
        return None
    return float(scores[int(np.ceil(SENSITIVITY * len(scores) - 1e-9)) - 1])


@dataclass(frozen=True)
class Candidate:
    """What is known on val of what may win."""

    name: str
    macro_auc: float
    malignant_sensitivity: float


def choose_winner(candidates: list[Candidate]) -> Candidate:
    """The winner by RULE, the first of equals."""
    return max(candidates, key=lambda one: (one.macro_auc, one.malignant_sensitivity))
