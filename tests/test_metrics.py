from dataclasses import replace

import numpy as np
import pytest
from reference import by_sklearn
from sklearn import metrics as sk

from btxrd.artifacts.classes import ClassNames
from btxrd.evaluation import bootstrap, metrics
from btxrd.evaluation.bootstrap import partition_metrics
from btxrd.evaluation.formulas import confusion, cross_entropy
from btxrd.evaluation.metrics import Cases, Metric, compute_metrics, headline_metrics

NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")
KINDS = ("plain", "ties", "absent", "never predicted", "one class", "perfect")


def draw(kind, n=90):
    rng = np.random.default_rng(7)
    labels = rng.choice(3, n, p=(0.5, 0.4, 0.1))
    probs = rng.dirichlet((1, 1, 1), n) + np.eye(3)[labels] * 0.4
    if kind == "ties":
        probs = probs.round(1) + 0.05
    elif kind == "absent":
        labels[labels == 2] = 1
    elif kind == "never predicted":
        probs[:, 2] *= 0.01
    elif kind == "one class":
        labels[:] = 1
    elif kind == "perfect":
        probs = np.eye(3)[labels] * 0.9 + 0.03
    return labels, probs / probs.sum(axis=1, keepdims=True)


def values_of(labels, probs, names=NAMES):
    found = compute_metrics(Cases(labels, probs, names), np.ones((1, len(labels))))
    return {name: values[0] for name, values in found.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_equal_those_of_scikit_learn(kind):
    labels, probs = draw(kind)
    found = values_of(labels, probs)
    for name, want in by_sklearn(labels, probs).items():
        if want is None:
            assert np.isnan(found[name]), name
        else:
            assert found[name] == pytest.approx(want, abs=1e-12), name
    counts = sk.confusion_matrix(labels, probs.argmax(1), labels=[0, 1, 2])
    assert (confusion(labels, probs) == counts).all()
    want = sk.log_loss(labels, probs, labels=[0, 1, 2])
    assert cross_entropy(labels, probs) == pytest.approx(want)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_equals_the_number_of_copies_of_a_case(kind):
    labels, probs = draw(kind)
    weights = np.random.default_rng(1).integers(0, 4, (5, len(labels))).astype(float)
    found = compute_metrics(Cases(labels, probs, NAMES), weights)
    for row, times in enumerate(weights.astype(int)):
        copies = np.repeat(np.arange(len(labels)), times)
        for name, value in values_of(labels[copies], probs[copies]).items():
            assert found[name][row] == pytest.approx(value, nan_ok=True), name


def test_calibration_error_by_hand():
    labels = np.array([0, 0, 1, 1])
    probs = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.9, 0.1, 0], [0.4, 0.6, 0]])
    # Three cases at 0.9, two of them right; one at 0.6 that is right.
    want = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(1 - 0.6)
    assert values_of(labels, probs)["ece"] == pytest.approx(want)


def test_calibration_error_has_fifteen_bins():
    probs = np.array([[0.99, 0.01], [0.94, 0.06], [0.92, 0.08]])  # the last bin begins at 14/15
    names = ClassNames(("a", "b"), "b", "a")
    want = 2 / 3 * abs(0.5 - 0.965) + 1 / 3 * abs(1 - 0.92)
    assert values_of(np.array([0, 1, 0]), probs, names)["ece"] == pytest.approx(want)


def test_share_predicted_as_background_is_of_the_named_classes():
    labels, probs = draw("plain")
    found = values_of(labels, probs, ClassNames(NAMES.names, "benign", "malignant"))
    want = (probs.argmax(axis=1) == 2)[labels == 1].mean()
    assert found["benign_predicted_malignant"] == want > 0


def test_metrics_without_a_background_class_lack_the_share_predicted_as_it():
    names = ClassNames(("osteoma", "sarcoma"), "sarcoma", None)
    labels = np.arange(20) % 2
    probs = np.random.default_rng(0).dirichlet((1, 1), 20)
    found = partition_metrics(labels, probs, np.arange(20), np.ones(20, int), names)
    assert list(found.values) == [metric.name for metric in headline_metrics(names)]
    assert not any("predicted" in name for name in found.values)


def test_every_metric_is_within_its_range_and_better_in_its_direction():
    labels, probs = draw("perfect")
    good, bad = values_of(labels, probs), values_of(labels, np.roll(probs, 1, axis=1))
    for metric in metrics.METRICS:
        name = metric.key(NAMES) if metric.compute is not None else f"malignant.{metric.name}"
        assert metric.low <= bad[name] <= metric.high
        better = good[name] > bad[name] if metric.better == "higher" else good[name] < bad[name]
        assert better, name


@pytest.mark.parametrize("per_class", [False, True])
def test_a_metric_that_is_added_to_the_table_is_computed(per_class, monkeypatch):
    added = Metric(
        "support_share", "share of the cases", "higher", 0, 1, headline=not per_class,
        compute=None if per_class else lambda cases, weights: weights[:, 0] * 0.5,
        compute_per_class=(lambda one, weights: weights @ one.truth / 90) if per_class else None,
    )  # fmt: skip
    for module in (metrics, bootstrap):
        monkeypatch.setattr(module, "METRICS", (*metrics.METRICS, added))
    labels, probs = draw("plain")
    found = partition_metrics(labels, probs, np.arange(90), np.ones(90, int), NAMES)
    of_class = found.per_class["benign"].values
    values = of_class if per_class else found.values
    want = (labels == 1).mean() if per_class else 0.5
    assert values["support_share"].value == pytest.approx(want)
    assert ("support_share" in found.values) != ("support_share" in of_class)


@pytest.mark.parametrize("kind", ["absent", "never predicted", "one class"])
def test_a_metric_that_is_undefined_has_no_value_and_a_note(kind):
    labels, probs = draw(kind)
    found = partition_metrics(labels, probs, np.arange(90), np.ones(90, int), NAMES)
    flat = dict(found.values)
    flat |= {f"{c}.{k}": v for c in NAMES.names for k, v in found.per_class[c].values.items()}
    undefined = {name for name, metric in flat.items() if metric.value is None}
    want = by_sklearn(labels, probs)
    assert undefined == {name for name, value in want.items() if value is None}
    in_center = {"per_center.1.macro_auc"} if "macro_auc" in undefined else set()
    assert set(found.notes) == undefined | in_center


def test_a_note_names_the_focus_class():
    labels, probs = draw("absent")
    found = partition_metrics(labels, probs, np.arange(90), np.ones(90, int), NAMES)
    assert found.notes["malignant_predicted_normal"] == "no case is malignant"
    named = replace(metrics.METRICS[0], undefined=None)
    assert "cannot be computed" in named.reason(NAMES)
