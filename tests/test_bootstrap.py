import numpy as np
import pytest
from scipy.stats import binomtest

from btxrd.artifacts.classes import ClassNames
from btxrd.evaluation.bootstrap import (
    RESAMPLES,
    bootstrap_weights,
    estimate,
    interval,
    partition_metrics,
)
from btxrd.evaluation.metrics import Cases, compute_metrics

NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")
LABELS = np.random.default_rng(7).choice(3, 90, p=(0.5, 0.35, 0.15))
PROBS = np.random.default_rng(8).dirichlet((1, 1, 1), 90)
GROUPS, CENTERS = np.arange(90) // 3, np.arange(90) // 9 % 3 + 1


def ends(values):
    known = values[~np.isnan(values)]
    return pytest.approx(tuple(np.quantile(known, [0.025, 0.975])))


def test_groups_are_drawn_as_units():
    weights = bootstrap_weights(np.array(["a", "b", "a", "c"]), resamples=50)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(bootstrap_weights(np.arange(3))) == RESAMPLES == 2000


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=400)
    weights = bootstrap_weights(np.arange(400))
    low, high = interval(values.mean(), (weights @ values) / 400)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.015)


def test_interval_is_widened_to_contain_its_value():
    resampled = np.linspace(1, 2, 100)
    assert interval(0.5, resampled)[0] == 0.5
    assert interval(2.5, resampled)[1] == 2.5


def test_resamples_without_a_value_are_left_out():
    found = estimate(np.array([0.5, np.nan, 0.4, 0.6]))
    assert (found.low, found.high) == pytest.approx((0.405, 0.595))
    assert estimate(np.array([np.nan, 0.4, 0.6])).low is None


@pytest.fixture(scope="module")
def found():
    return partition_metrics(LABELS, PROBS, GROUPS, CENTERS, NAMES)


@pytest.fixture(scope="module")
def weights():
    return bootstrap_weights(GROUPS)


def test_intervals_of_a_partition_are_over_groups(found, weights):
    """Detects intervals over cases, in the metrics of all classes and of each class."""
    resampled = compute_metrics(Cases(LABELS, PROBS, NAMES), weights)
    for name in ("accuracy", "macro_auc"):
        metric = found.values[name]
        assert (metric.low, metric.high) == ends(resampled[name])
    metric = found.per_class["benign"].values["sensitivity"]
    assert (metric.low, metric.high) == ends(resampled["benign.sensitivity"])


def test_metrics_of_a_center_are_of_its_cases_and_their_groups(found, weights):
    for center in (1, 2, 3):
        here = center == CENTERS
        cases = Cases(LABELS[here], PROBS[here], NAMES)
        metric = found.per_center[str(center)].values["accuracy"]
        assert metric.value == (PROBS[here].argmax(axis=1) == LABELS[here]).mean()
        assert (metric.low, metric.high) == ends(
            compute_metrics(cases, weights[:, here])["accuracy"]
        )
        assert found.per_center[str(center)].n == here.sum()
    assert list(found.per_center["1"].values) == ["accuracy", "macro_auc"]


def test_counts_are_of_true_classes(found):
    assert found.n == 90
    support = [found.per_class[name].support for name in NAMES.names]
    assert support == np.bincount(LABELS).tolist() == np.sum(found.confusion, axis=1).tolist()


def test_intervals_contain_their_value(found):
    for metric in found.values.values():
        assert metric.low <= metric.value <= metric.high
    assert found.values["accuracy"].high - found.values["accuracy"].low > 0.1
    assert found.notes == {}


@pytest.mark.parametrize("hits", [0, 12])
def test_proportions_of_0_and_1_have_clopper_pearson_intervals(hits):
    found = estimate(np.full(100, hits / 12), 12)
    want = binomtest(hits, 12).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((want.low, want.high))


def test_interval_of_a_perfect_auc_depends_on_the_smallest_class():
    """The units are groups: 12 cases of each class in 4 groups."""
    labels = np.repeat([0, 1, 2], 12)
    groups = np.array([f"g{at // 3}" for at in range(36)])
    found = partition_metrics(labels, np.eye(3)[labels], groups, np.ones(36, int), NAMES)
    of_class, of_all = (binomtest(n, n).proportion_ci(method="exact").low for n in (4, 12))
    assert found.values["macro_auc"].low == pytest.approx(of_class)
    assert found.values["accuracy"].low == pytest.approx(of_all)
    missed = found.values["malignant_predicted_normal"]
    assert (missed.low, missed.high) == pytest.approx((0, 1 - of_class))
    values = found.per_class["benign"].values
    assert values["auc"].low == values["precision"].low == pytest.approx(of_class)
    assert values["specificity"].low == pytest.approx(binomtest(8, 8).proportion_ci().low)
