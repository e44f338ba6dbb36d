import numpy as np
import pytest
from reference import by_sklearn
from sklearn import metrics as sk

from btxrd.data.constants import CLASSES, HEADLINE
from btxrd.evaluation.bootstrap import bootstrap_weights, interval, scores
from btxrd.evaluation.metrics import confusion, cross_entropy, figures


def draw(kind, n=90):
    rng = np.random.default_rng(7)
    labels = rng.choice(3, n, p=(0.5, 0.4, 0.1))
    probs = rng.dirichlet((1, 1, 1), n) + np.eye(3)[labels] * 0.4
    if kind == "ties":
        probs = probs.round(1) + 0.05
    elif kind == "absent":
        labels[labels == 2] = 1
    elif kind == "never called":
        probs[:, 2] *= 0.01
    elif kind == "one class":
        labels[:] = 1
    elif kind == "perfect":
        probs = np.eye(3)[labels] * 0.9 + 0.03
    return labels, probs / probs.sum(axis=1, keepdims=True)


KINDS = ("plain", "ties", "absent", "never called", "one class", "perfect")


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_scikit_learn(kind):
    labels, probs = draw(kind)
    found = figures(labels, probs, np.ones((1, len(labels))))
    for name, want in by_sklearn(labels, probs).items():
        if want is None:
            assert np.isnan(found[name][0]), name
        else:
            assert found[name][0] == pytest.approx(want, abs=1e-12), name
    assert (
        confusion(labels, probs) == sk.confusion_matrix(labels, probs.argmax(1), labels=[0, 1, 2])
    ).all()
    assert cross_entropy(labels, probs) == pytest.approx(
        sk.log_loss(labels, probs, labels=[0, 1, 2])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_that_many_copies_of_a_case(kind):
    labels, probs = draw(kind)
    weights = np.random.default_rng(1).integers(0, 4, (5, len(labels))).astype(float)
    found = figures(labels, probs, weights)
    for row, times in enumerate(weights.astype(int)):
        copies = np.repeat(np.arange(len(labels)), times)
        copied = figures(labels[copies], probs[copies], np.ones((1, len(copies))))
        for name, values in copied.items():
            assert found[name][row] == pytest.approx(values[0], nan_ok=True), name


def test_calibration_error_by_hand():
    labels = np.array([0, 0, 1, 1])
    probs = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.9, 0.1, 0], [0.4, 0.6, 0]])
    # Three films at 0.9 of which two are right, one at 0.6 that is right.
    want = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(1 - 0.6)
    assert figures(labels, probs, np.ones((1, 4)))["ece"][0] == pytest.approx(want)


def test_scores_have_intervals_that_hold_their_value():
    labels, probs = draw("plain")
    found = scores(labels, probs, np.arange(90) // 2, np.arange(90) % 3 + 1)
    for name in HEADLINE:
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name
    assert found["accuracy"]["high"] - found["accuracy"]["low"] > 0.1
    assert sum(center["n"] for center in found["per_center"].values()) == found["n"] == 90
    assert found["notes"] == {}


@pytest.mark.parametrize("kind", ["absent", "never called", "one class"])
def test_a_figure_that_cannot_be_computed_is_null_and_says_why(kind):
    labels, probs = draw(kind)
    found = scores(labels, probs, np.arange(90), np.ones(90, int))
    flat = {name: found[name] for name in HEADLINE}
    flat |= {
        f"{c}.{k}": v for c in CLASSES for k, v in found["per_class"][c].items() if k != "support"
    }
    null = {name for name, figure in flat.items() if figure["value"] is None}
    assert null
    assert null <= set(found["notes"])
    want = by_sklearn(labels, probs)
    assert null == {name for name, value in want.items() if value is None}


def test_groups_are_drawn_whole():
    weights = bootstrap_weights(np.array(["a", "b", "a", "c"]), resamples=50)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(size=400)
    weights = bootstrap_weights(np.arange(400))
    low, high = interval(values.mean(), (weights @ values) / 400)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.015)
