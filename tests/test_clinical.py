import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
)

from btxrd.evaluation.bootstrap import bootstrap_weights
from btxrd.evaluation.calibration import clinical_reading
from btxrd.evaluation.metrics import MALIGNANT, equal_priors, figures, macro_auc, mean
from btxrd.evaluation.selection import Validation, choose_temperature, choose_threshold


def draw(n, seed):
    """Draw labels, and probabilities that claim too much."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=(0.45, 0.35, 0.2))
    return labels, softmax(2 * np.eye(3)[labels] + 3 * rng.normal(size=(n, 3)), axis=1)


SHOWN = ("sensitivity", "specificity", "precision")
VAL = Validation(*draw(80, seed=1))
LABELS, PROBS = draw(90, seed=2)
GROUPS, CENTERS = np.arange(90) // 2, np.arange(90) % 3 + 1


def reading(labels=LABELS, probs=PROBS, val=VAL):
    return clinical_reading(val, labels, probs, GROUPS, CENTERS)


def calibration_error(labels, probs):
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (low < confidence) & (confidence <= low + 1 / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def at_threshold(labels, probs, threshold):
    truth, called = labels == MALIGNANT, probs[:, MALIGNANT] >= threshold
    return {
        "sensitivity": recall_score(truth, called),
        "specificity": recall_score(~truth, ~called),
        "precision": precision_score(truth, called),
    }


def values_of(estimates):
    return {name: figure["value"] for name, figure in estimates.items()}


def test_calibration_is_that_of_scikit_learn_before_and_after_the_temperature():
    found = reading()
    temperature = found["temperature"]
    assert temperature > 1.5
    for when, divisor in (("before", 1), ("after", temperature)):
        probs = softmax(np.log(PROBS) / divisor, axis=1)
        calibration = found["calibration"][when]
        assert calibration["ece"]["value"] == pytest.approx(calibration_error(LABELS, probs))
        brier = sum(brier_score_loss(label == LABELS, probs[:, label]) for label in range(3))
        assert calibration["brier"]["value"] == pytest.approx(brier)
        assert calibration["cross_entropy"] == pytest.approx(log_loss(LABELS, probs))


def test_a_temperature_of_val_helps_on_test():
    before, after = (reading()["calibration"][when] for when in ("before", "after"))
    assert after["cross_entropy"] < before["cross_entropy"]
    assert after["ece"]["value"] < before["ece"]["value"]


def test_a_certain_error_has_a_finite_cross_entropy():
    probs = PROBS.copy()
    probs[0] = np.eye(3)[(LABELS[0] + 1) % 3]
    before = reading(probs=probs)["calibration"]["before"]
    want = log_loss(LABELS[1:], PROBS[1:]) * 89 / 90 - np.log(1e-9) / 90
    assert before["cross_entropy"] == pytest.approx(want, abs=0.01)


def test_operating_point_is_that_of_scikit_learn():
    point = reading()["operating_point"]
    threshold = point["threshold"]
    assert point["val"] == pytest.approx(at_threshold(VAL.labels, VAL.probs, threshold))
    assert point["val"]["sensitivity"] >= point["val_sensitivity_asked"] == 0.9
    assert values_of(point["test"]) == pytest.approx(at_threshold(LABELS, PROBS, threshold))
    assert list(point["per_center"]) == ["1", "2", "3"]
    for center, found in point["per_center"].items():
        here = int(center) == CENTERS
        want = at_threshold(LABELS[here], PROBS[here], threshold)
        assert values_of(found) == pytest.approx(want)


@pytest.mark.parametrize("center", [None, 2])
def test_intervals_are_quantiles_over_groups_that_are_copied(center):
    point = reading()["operating_point"]
    found = point["test"] if center is None else point["per_center"][str(center)]
    here = np.full(90, True) if center is None else center == CENTERS
    resampled = {name: [] for name in SHOWN}
    for times in bootstrap_weights(GROUPS)[:, here].astype(int):
        truth = np.repeat(LABELS[here] == MALIGNANT, times)
        called = np.repeat(PROBS[here, MALIGNANT] >= point["threshold"], times)
        parts = (called, truth), (~called, ~truth), (truth, called)
        for name, (flags, among) in zip(SHOWN, parts, strict=True):
            resampled[name] += [flags[among].mean()] if among.any() else []
    for name, values in resampled.items():
        ends = np.quantile(values, [0.025, 0.975])
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(tuple(ends)), name


def test_an_interval_of_calibration_holds_its_value():
    for when in ("before", "after"):
        for name in ("ece", "brier"):
            found = reading()["calibration"][when][name]
            assert found["low"] <= found["value"] <= found["high"]
            assert found["low"] < found["high"]


def test_no_test_case_moves_what_is_chosen():
    found = reading()
    for case in range(90):
        labels, probs = LABELS.copy(), PROBS.copy()
        labels[case] = (labels[case] + 1) % 3
        probs[case] = (0.2, 0.3, 0.5)
        changed = reading(labels, probs)
        assert changed["calibration"] != found["calibration"]
        assert changed["temperature"] == found["temperature"]
        assert changed["operating_point"]["threshold"] == found["operating_point"]["threshold"]
        assert changed["operating_point"]["val"] == found["operating_point"]["val"]


def test_what_is_chosen_is_chosen_on_val():
    found = reading(*draw(90, seed=5))
    assert found["temperature"] == choose_temperature(VAL)
    assert found["operating_point"]["threshold"] == choose_threshold(VAL)
    other = reading(val=Validation(*draw(80, seed=6)))
    assert other["temperature"] != found["temperature"]
    assert other["operating_point"]["threshold"] != found["operating_point"]["threshold"]


def test_there_is_no_operating_point_without_malignant_cases_on_val():
    found = reading(val=Validation(np.minimum(VAL.labels, 1), VAL.probs))
    assert found["operating_point"] is None
    assert found["temperature"] > 0


def test_a_center_without_malignant_cases_has_no_sensitivity():
    labels = np.where((CENTERS == 2) & (LABELS == MALIGNANT), 0, LABELS)
    found = reading(labels)["operating_point"]["per_center"]["2"]
    assert found["sensitivity"] == {"value": None, "low": None, "high": None}
    assert found["specificity"]["value"] is not None


def test_a_reading_can_be_written_as_json():
    json.dumps(reading(), allow_nan=False)


def test_accuracy_under_equal_priors_is_balanced_accuracy():
    weights = bootstrap_weights(GROUPS, resamples=20)
    found = mean(PROBS.argmax(axis=1) == LABELS, equal_priors(LABELS, weights))
    for value, times in zip(found, weights.astype(int), strict=True):
        labels, called = np.repeat(LABELS, times), np.repeat(PROBS.argmax(axis=1), times)
        assert value == pytest.approx(balanced_accuracy_score(labels, called))
        assert value != pytest.approx(accuracy_score(labels, called))


def test_under_equal_priors_each_class_weighs_the_same():
    even = equal_priors(LABELS, bootstrap_weights(GROUPS, resamples=5))
    for label in range(3):
        assert even[:, label == LABELS].sum(axis=1) == pytest.approx(1)


def test_a_resample_without_a_class_has_no_figure_under_equal_priors():
    weights = np.ones((3, 90))
    weights[1, LABELS == MALIGNANT] = 0
    even = equal_priors(LABELS, weights)
    assert np.isnan(even).all(axis=1).tolist() == [False, True, False]
    for values in (mean(PROBS.argmax(axis=1) == LABELS, even), macro_auc(LABELS, PROBS, even)):
        assert np.isnan(values).tolist() == [False, True, False]


def test_the_scale_of_weights_says_nothing():
    weights = bootstrap_weights(GROUPS, resamples=5)
    assert equal_priors(LABELS, 7 * weights) == pytest.approx(equal_priors(LABELS, weights))
    scaled = figures(LABELS, PROBS, weights / 30)
    for name, values in figures(LABELS, PROBS, weights).items():
        assert scaled[name] == pytest.approx(values), name
