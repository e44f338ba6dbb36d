from dataclasses import asdict

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

from btxrd.artifacts.classes import ClassNames
from btxrd.evaluation.bootstrap import bootstrap_weights
from btxrd.evaluation.calibration import calibrate, calibration_slope
from btxrd.evaluation.formulas import (
    equal_priors,
    macro_auc,
    macro_auc_with_equal_priors,
    mean,
    with_temperature,
)
from btxrd.evaluation.metrics import Cases, compute_metrics
from btxrd.evaluation.selection import Validation, choose_temperature, choose_threshold


def draw(n, seed):
    """Draw labels, and overconfident probabilities."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=(0.45, 0.35, 0.2))
    return labels, softmax(2 * np.eye(3)[labels] + 3 * rng.normal(size=(n, 3)), axis=1)


NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")
FOCUS = 2
SHOWN = ("sensitivity", "specificity", "precision")
VAL = Validation(*draw(80, seed=1))
LABELS, PROBS = draw(90, seed=2)
GROUPS, CENTERS = np.arange(90) // 2, np.arange(90) % 3 + 1


def calibration(labels=LABELS, probs=PROBS, val=VAL, groups=GROUPS, names=NAMES):
    return asdict(calibrate(val, labels, probs, groups, CENTERS, names))


def calibration_error(labels, probs):
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (low < confidence) & (confidence <= low + 1 / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def at_threshold(labels, probs, threshold):
    truth, predicted = labels == FOCUS, probs[:, FOCUS] >= threshold
    return {
        "sensitivity": recall_score(truth, predicted),
        "specificity": recall_score(~truth, ~predicted),
        "precision": precision_score(truth, predicted),
    }


def values_of(estimates):
    return {name: metric["value"] for name, metric in estimates.items()}


def test_calibration_is_that_of_scikit_learn_before_and_after_the_temperature():
    found = calibration()
    temperature = found["temperature"]
    assert temperature > 1.5
    for when, divisor in (("before", 1), ("after", temperature)):
        probs = softmax(np.log(PROBS) / divisor, axis=1)
        stored = found["calibration"][when]
        assert stored["ece"]["value"] == pytest.approx(calibration_error(LABELS, probs))
        brier = sum(brier_score_loss(label == LABELS, probs[:, label]) for label in range(3))
        assert stored["brier"]["value"] == pytest.approx(brier)
        assert stored["cross_entropy"] == pytest.approx(log_loss(LABELS, probs))


def test_temperature_fitted_on_val_lowers_the_calibration_error_on_test():
    before, after = (calibration()["calibration"][when] for when in ("before", "after"))
    assert after["cross_entropy"] < before["cross_entropy"]
    assert after["ece"]["value"] < before["ece"]["value"]


def test_cross_entropy_is_finite_for_a_wrong_prediction_with_probability_1():
    probs = PROBS.copy()
    probs[0] = np.eye(3)[(LABELS[0] + 1) % 3]
    before = calibration(probs=probs)["calibration"]["before"]
    want = log_loss(LABELS[1:], PROBS[1:]) * 89 / 90 - np.log(1e-9) / 90
    assert before["cross_entropy"] == pytest.approx(want, abs=0.01)


def test_operating_point_is_that_of_scikit_learn():
    point = calibration()["operating_point"]
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
    point = calibration()["operating_point"]
    found = point["test"] if center is None else point["per_center"][str(center)]
    here = np.full(90, True) if center is None else center == CENTERS
    resampled = {name: [] for name in SHOWN}
    for times in bootstrap_weights(GROUPS)[:, here].astype(int):
        truth = np.repeat(LABELS[here] == FOCUS, times)
        predicted = np.repeat(PROBS[here, FOCUS] >= point["threshold"], times)
        parts = (predicted, truth), (~predicted, ~truth), (truth, predicted)
        for name, (flags, among) in zip(SHOWN, parts, strict=True):
            resampled[name] += [flags[among].mean()] if among.any() else []
    for name, values in resampled.items():
        ends = np.quantile(values, [0.025, 0.975])
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(tuple(ends)), name


def test_interval_of_calibration_error_contains_its_value():
    for when in ("before", "after"):
        for name in ("ece", "brier"):
            found = calibration()["calibration"][when][name]
            assert found["low"] <= found["value"] <= found["high"]
            assert found["low"] < found["high"]


def test_test_cases_change_neither_temperature_nor_threshold():
    found = calibration()
    for case in range(0, 90, 9):
        labels, probs = LABELS.copy(), PROBS.copy()
        labels[case] = (labels[case] + 1) % 3
        probs[case] = (0.2, 0.3, 0.5)
        changed = calibration(labels, probs)
        assert changed["calibration"] != found["calibration"]
        assert changed["temperature"] == found["temperature"]
        assert changed["operating_point"]["threshold"] == found["operating_point"]["threshold"]
        assert changed["operating_point"]["val"] == found["operating_point"]["val"]


def test_temperature_and_threshold_are_chosen_on_val():
    found = calibration(*draw(90, seed=5))
    assert found["temperature"] == choose_temperature(VAL)
    assert found["operating_point"]["threshold"] == choose_threshold(VAL, FOCUS)
    other = calibration(val=Validation(*draw(80, seed=6)))
    assert other["temperature"] != found["temperature"]
    assert other["operating_point"]["threshold"] != found["operating_point"]["threshold"]


def test_there_is_no_operating_point_without_malignant_cases_on_val():
    found = calibration(val=Validation(np.minimum(VAL.labels, 1), VAL.probs))
    assert found["operating_point"] is None
    assert found["temperature"] > 0


def test_a_center_without_malignant_cases_has_no_sensitivity():
    labels = np.where((CENTERS == 2) & (LABELS == FOCUS), 0, LABELS)
    found = calibration(labels)["operating_point"]["per_center"]["2"]
    assert found["sensitivity"] == {"value": None, "low": None, "high": None}
    assert found["specificity"]["value"] is not None


def test_accuracy_under_equal_priors_is_balanced_accuracy():
    weights = bootstrap_weights(GROUPS, resamples=20)
    found = mean(PROBS.argmax(axis=1) == LABELS, equal_priors(LABELS, 3, weights))
    for value, times in zip(found, weights.astype(int), strict=True):
        labels, predicted = np.repeat(LABELS, times), np.repeat(PROBS.argmax(axis=1), times)
        assert value == pytest.approx(balanced_accuracy_score(labels, predicted))
        assert value != pytest.approx(accuracy_score(labels, predicted))


def test_equal_priors_give_each_class_the_same_weight():
    even = equal_priors(LABELS, 3, bootstrap_weights(GROUPS, resamples=5))
    for label in range(3):
        assert even[:, label == LABELS].sum(axis=1) == pytest.approx(1)


def test_macro_auc_with_equal_priors_equals_that_of_weighted_cases():
    weights = bootstrap_weights(GROUPS, resamples=20)
    plain, even = macro_auc_with_equal_priors(LABELS, PROBS, weights)
    np.testing.assert_allclose(plain, macro_auc(LABELS, PROBS, weights))
    np.testing.assert_allclose(even, macro_auc(LABELS, PROBS, equal_priors(LABELS, 3, weights)))


def test_a_resample_without_a_class_is_undefined_under_equal_priors():
    weights = np.ones((3, 90))
    weights[1, LABELS == FOCUS] = 0
    even = equal_priors(LABELS, 3, weights)
    assert np.isnan(even).all(axis=1).tolist() == [False, True, False]
    for values in (mean(PROBS.argmax(axis=1) == LABELS, even), macro_auc(LABELS, PROBS, even)):
        assert np.isnan(values).tolist() == [False, True, False]


def test_scale_of_weights_changes_no_metric():
    weights = bootstrap_weights(GROUPS, resamples=5)
    assert equal_priors(LABELS, 3, 7 * weights) == pytest.approx(equal_priors(LABELS, 3, weights))
    cases = Cases(LABELS, PROBS, NAMES)
    scaled = compute_metrics(cases, weights / 30)
    for name, values in compute_metrics(cases, weights).items():
        assert scaled[name] == pytest.approx(values), name


def test_intervals_of_calibration_are_over_groups():
    """Detects intervals over cases."""
    found = calibration()["calibration"]["before"]["brier"]
    loss = ((PROBS - np.eye(3)[LABELS]) ** 2).sum(axis=1)
    resampled = mean(loss, bootstrap_weights(GROUPS))
    assert (found["low"], found["high"]) == pytest.approx(
        tuple(np.quantile(resampled, [0.025, 0.975]))
    )


def test_operating_point_is_of_the_focus_class():
    names = ClassNames(NAMES.names, "benign", None)
    point = calibration(names=names)["operating_point"]
    assert point["threshold"] == choose_threshold(VAL, 1)
    predicted = PROBS[:, 1] >= point["threshold"]
    assert point["test"]["sensitivity"]["value"] == predicted[LABELS == 1].mean()


def calibrated_cases(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    probs = softmax(2 * rng.normal(size=(n, 3)), axis=1)
    labels = (probs.cumsum(axis=1)[:, :2] < rng.random((n, 1))).sum(axis=1)
    return labels, probs, np.arange(n)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_slope_is_the_inverse_of_the_distortion(power):
    labels, probs, groups = calibrated_cases()
    found = calibration_slope(labels, [with_temperature(probs, 1 / power)], groups)
    assert found.low < 1 / power < found.high
    assert found.value == pytest.approx(1 / power, rel=0.06)


def test_copies_in_the_same_groups_do_not_narrow_the_interval_of_the_slope():
    labels, probs, groups = calibrated_cases(300)
    once = calibration_slope(labels, [probs], groups)
    every = np.repeat(np.arange(300), 3)
    thrice = calibration_slope(labels[every], [probs[every]], groups[every])
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_slope_of_a_perfect_or_constant_model_is_undefined():
    labels = np.arange(30) % 3
    for probs in (np.eye(3)[labels], np.full((30, 3), 1 / 3)):
        assert calibration_slope(labels, [probs], np.arange(30)).value is None


@pytest.mark.slow
def test_interval_of_the_slope_contains_the_true_slope():
    held = 0
    for seed in range(400):
        labels, probs, groups = calibrated_cases(300, seed)
        found = calibration_slope(labels, [probs], groups)
        held += found.low <= 1 <= found.high
    assert 0.92 < held / 400 < 0.98
