import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.metrics import log_loss, recall_score

from btxrd.artifacts.classes import ClassNames
from btxrd.evaluation.formulas import with_temperature
from btxrd.evaluation.selection import (
    HOTTEST,
    SENSITIVITY,
    Candidate,
    Validation,
    choose_temperature,
    choose_threshold,
    choose_winner,
    selection_rule,
)

NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")
CLASSES, FOCUS = NAMES.names, 2


def table_of(labels, probs, partition):
    """Return rows of predictions.csv."""
    table = pd.DataFrame(probs, columns=[f"prob_{name}" for name in CLASSES])
    return table.assign(label=[CLASSES[label] for label in labels], partition=partition)


def calibrated(n, seed=0):
    """Draw calibrated probabilities, and their labels."""
    rng = np.random.default_rng(seed)
    probs = softmax(1.5 * rng.normal(size=(n, 3)), axis=1)
    return (rng.random(n)[:, None] > probs.cumsum(axis=1)).sum(axis=1), probs


def test_validation_is_read_from_rows_of_predictions():
    labels, probs = calibrated(9)
    val = Validation.of(table_of(labels, probs, "val"), CLASSES)
    assert (val.labels == labels).all()
    assert (val.probs == probs).all()


@pytest.mark.parametrize("partition", ["train", "test", None])
def test_validation_refuses_cases_of_other_partitions(partition):
    table = table_of(*calibrated(9), ["val"] * 8 + [partition])
    with pytest.raises(ValueError, match="only val cases"):
        Validation.of(table, CLASSES)


@pytest.mark.parametrize("planted", [0.5, 1.0, 1.7, 4.0])
def test_temperature_recovers_the_true_temperature(planted):
    labels, probs = calibrated(20_000)
    sharpened = with_temperature(probs, 1 / planted)
    assert choose_temperature(Validation(labels, sharpened)) == pytest.approx(planted, rel=0.04)


def small_val():
    labels, probs = calibrated(80, seed=3)
    return Validation(labels, with_temperature(probs, 0.4))


def test_no_temperature_of_a_grid_has_a_lower_loss():
    val = small_val()

    def loss(temperature):
        return log_loss(val.labels, with_temperature(val.probs, temperature), labels=[0, 1, 2])

    grid = np.geomspace(1 / HOTTEST, HOTTEST, 300)
    assert loss(choose_temperature(val)) <= min(map(loss, grid))


def test_loss_has_no_slope_at_the_temperature():
    val = small_val()
    logits = np.log(val.probs)
    of_truth = logits[np.arange(80), val.labels]

    def slope(inverse):
        return ((softmax(logits * inverse, axis=1) * logits).sum(axis=1) - of_truth).mean()

    want = 1 / brentq(slope, 1 / HOTTEST, HOTTEST)
    assert choose_temperature(val) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("right", [True, False])
def test_temperature_stays_within_bounds_if_all_cases_are_right_or_wrong(right):
    predicted = np.arange(30) % 3
    probs = np.eye(3)[predicted]
    temperature = choose_temperature(Validation(predicted if right else (predicted + 1) % 3, probs))
    assert 1 / HOTTEST <= temperature <= HOTTEST
    assert (temperature < 1) == right


def test_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(size=(20, 3))
    want = softmax(logits / 2.5, axis=1)
    assert with_temperature(softmax(logits, axis=1), 2.5) == pytest.approx(want)


@pytest.mark.parametrize("temperature", [1 / HOTTEST, 1, HOTTEST])
def test_temperature_keeps_predictions_and_accepts_zeros(temperature):
    _, probs = calibrated(50)
    probs = np.vstack([probs, np.eye(3), [[0, 0.4, 0.6]]])
    found = with_temperature(probs, temperature)
    assert (found > 0).all()
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found.argmax(axis=1) == probs.argmax(axis=1)).all()
    if temperature == 1:
        assert found == pytest.approx(probs, abs=1e-8)


@pytest.mark.parametrize("malignant", [1, 2, 9, 10, 11, 20, 30, 51, 70])
@pytest.mark.parametrize("digits", [1, 6])
def test_threshold_is_the_highest_that_finds_nine_in_ten(malignant, digits):
    rng = np.random.default_rng(malignant)
    labels = rng.permutation(np.repeat([0, 1, FOCUS], (60, 40, malignant)))
    score = rng.random(len(labels)).round(digits)
    probs = np.stack([1 - score, 0 * score, score], axis=1)

    def finds_enough(threshold):
        predicted = score >= threshold
        return recall_score(labels == FOCUS, predicted) >= SENSITIVITY

    found = choose_threshold(Validation(labels, probs), FOCUS)
    assert found == max(filter(finds_enough, np.unique(score)))


def test_there_is_no_threshold_without_malignant_cases():
    labels, probs = calibrated(30)
    assert choose_threshold(Validation(np.minimum(labels, 1), probs), FOCUS) is None


@pytest.mark.parametrize(
    ("metrics", "winner"),
    [
        ([(0.8, 0.1), (0.9, 0.0), (0.7, 1.0)], 1),
        ([(0.8, 0.1), (0.9, 0.2), (0.9, 0.3)], 2),
        ([(0.8, 0.9), (0.9, 0.3), (0.9, 0.3)], 1),
        ([(0.8, 0.1)], 0),
    ],
)
def test_winner_has_the_highest_area_then_sensitivity_then_comes_first(metrics, winner):
    candidates = [Candidate(str(number), *values) for number, values in enumerate(metrics)]
    assert choose_winner(candidates) is candidates[winner]


def test_threshold_is_of_the_class_that_is_named():
    labels, probs = calibrated(60)
    val = Validation(labels, probs)
    assert choose_threshold(val, 1) in probs[labels == 1, 1]
    assert choose_threshold(val, 1) != choose_threshold(val, 2)


def test_rule_names_the_focus_class():
    assert "val benign sensitivity" in selection_rule(ClassNames(CLASSES, "benign", None))
