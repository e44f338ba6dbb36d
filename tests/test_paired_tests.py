from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import accuracy_score, roc_auc_score

from btxrd.evaluation.bootstrap import bootstrap_weights, interval, with_sample
from btxrd.evaluation.formulas import macro_auc, mean
from btxrd.evaluation.paired_tests import (
    accuracy_influence,
    auc_influence,
    holm,
    macro_auc_influence,
    mcnemar,
    mean_influence,
    p_value,
)

GOLDEN = Path(__file__).parent / "golden"  # written by its make.R
DELONG = pd.read_csv(GOLDEN / "delong.csv", index_col="set")
DELONG_CASES = dict(list(pd.read_csv(GOLDEN / "delong_cases.csv").groupby("set")))
MCNEMAR = pd.read_csv(GOLDEN / "mcnemar.csv").to_dict("records")
HOLM = dict(list(pd.read_csv(GOLDEN / "holm.csv").groupby("set")))

SHARES = (0.5, 0.41, 0.09)  # of the classes in BTXRD
METRICS = {"macro_auc": macro_auc_influence, "accuracy": accuracy_influence}
ALPHA = 0.05
REPEATS = [300, pytest.param(4000, marks=pytest.mark.slow)]


def both_influences(cases):
    truth = cases["truth"].to_numpy() == 1
    return [auc_influence(truth, cases[name].to_numpy(float)) for name in ("one", "other")]


@pytest.mark.parametrize("name", DELONG.index)
def test_delong_agrees_with_proc(name):
    want = DELONG.loc[name]
    one, other = both_influences(DELONG_CASES[name])
    difference = one - other
    variance = want["variance_one"] + want["variance_other"] - 2 * want["covariance"]
    found = {
        "auc_one": one.value,
        "auc_other": other.value,
        "variance_one": one.variance(),
        "variance_other": other.variance(),
        "covariance": one.cases @ other.cases,
        "z": difference.value / np.sqrt(difference.variance()),
        "p": p_value(difference.value, difference.variance()),
    }
    assert found == pytest.approx(want.to_dict(), rel=1e-9)
    assert difference.variance() == pytest.approx(variance, rel=1e-9)


def by_definition(truth, scores):
    """Return the areas of several scores and their covariance, from their kernel."""
    kernels = []
    for score in scores:
        gap = score[truth][:, None] - score[~truth][None, :]
        kernels.append(np.where(gap > 0, 1.0, np.where(gap == 0, 0.5, 0.0)))
    m, n = kernels[0].shape
    areas = [kernel.mean() for kernel in kernels]
    s10 = np.cov([kernel.mean(axis=1) for kernel in kernels])
    s01 = np.cov([kernel.mean(axis=0) for kernel in kernels])
    return areas, s10 / m + s01 / n


@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("positives", [2, 20, 58])
def test_influence_values_are_those_of_the_definition(digits, positives):
    rng = np.random.default_rng(positives)
    truth = rng.permutation(60) < positives
    scores = (truth + rng.normal(size=60) + rng.normal(size=(2, 60))).round(digits)
    areas, covariance = by_definition(truth, scores)
    one, other = (auc_influence(truth, score) for score in scores)
    assert [one.value, other.value] == pytest.approx(areas)
    assert one.cases @ other.cases == pytest.approx(covariance[0, 1])
    contrast = np.array([1, -1])
    assert (one - other).variance() == pytest.approx(contrast @ covariance @ contrast)


@pytest.mark.parametrize("positives", [0, 1, 59, 60])
def test_auc_with_fewer_than_two_cases_on_a_side_has_no_variance(positives):
    influence = auc_influence(np.arange(60) < positives, np.arange(60.0))
    assert np.isnan(influence.value) == (positives in (0, 60))
    assert p_value(influence.value, influence.variance(np.arange(60))) is None


def test_rounding_errors_are_not_a_difference():
    assert p_value(-1.1e-16, 4.8e-37) == 1


@pytest.mark.parametrize("pair", MCNEMAR, ids=lambda pair: f"{pair['only_one']:g}")
def test_mcnemar_agrees_with_r(pair):
    counts = [int(pair[name]) for name in ("both", "only_one", "only_other", "neither")]
    one_right = np.repeat([True, True, False, False], counts)
    other_right = np.repeat([True, False, True, False], counts)
    found = mcnemar(one_right, other_right)
    assert (found["only_one"], found["only_other"]) == tuple(counts[1:3])
    assert found["p"] == pytest.approx(pair["exact_p"], rel=1e-9)

    probs = [np.eye(3)[np.where(right, 1, 2)] for right in (one_right, other_right)]
    labels = np.ones(sum(counts), int)
    difference = accuracy_influence(labels, probs[0]) - accuracy_influence(labels, probs[1])
    variance = difference.variance()
    assert difference.value == pytest.approx(one_right.mean() - other_right.mean())
    assert difference.value**2 / variance == pytest.approx(pair["chi_squared"], rel=1e-9)
    assert p_value(difference.value, variance) == pytest.approx(pair["p"], rel=1e-9)


def test_mcnemar_of_equal_predictions_is_1():
    right = np.arange(9) < 5
    assert mcnemar(right, right) == {"only_one": 0, "only_other": 0, "p": 1.0}


def test_p_of_no_variance_is_one_for_no_difference_and_unknown_for_another():
    assert p_value(0.0, 0.0) == 1.0
    assert p_value(0.1, 0.0) is None
    assert p_value(np.nan, 1.0) is None
    assert p_value(0.0, np.nan) is None


@pytest.mark.parametrize(("df", "critical"), [(np.inf, 1.959964), (10, 2.228139), (2, 4.302653)])
def test_p_has_the_critical_values_of_the_tables(df, critical):
    for value in (critical, -critical):
        assert p_value(value * 0.3, 0.09, df) == pytest.approx(ALPHA, abs=1e-7)


@pytest.mark.parametrize("name", HOLM)
def test_holm_agrees_with_r(name):
    assert holm(HOLM[name]["p"].tolist()) == pytest.approx(HOLM[name]["adjusted"].tolist())


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


def draw(rng, n, images=1, skills=(2.0, 2.0)):
    """Draw labels, patients, and the probabilities of models of some skill.

    A part of the noise is common to the models, and images of a patient share half of all noise.
    """
    patients = np.arange(n) // images
    labels = rng.choice(3, n // images, p=SHARES)[patients]

    def noise():
        return rng.normal(size=(n // images, 3))[patients] + rng.normal(size=(n, 3))

    common = noise()
    logits = [skill * np.eye(3)[labels] + common + noise() for skill in skills]
    return labels, patients, [softmax(logit, axis=1) for logit in logits]


@pytest.mark.parametrize("metric", METRICS)
def test_groups_of_one_case_do_not_change_the_variance(metric):
    labels, _, probs = draw(np.random.default_rng(0), 90)
    one, other = (METRICS[metric](labels, each) for each in probs)
    names = np.random.default_rng(1).permutation(90).astype(str)
    assert (one - other).variance(names) == pytest.approx((one - other).variance())


@pytest.mark.parametrize("metric", METRICS)
def test_copies_of_an_image_do_not_lower_the_variance(metric):
    labels, patients, probs = draw(np.random.default_rng(0), 90)
    once, twice = (
        METRICS[metric](np.repeat(labels, times), np.repeat(probs[0], times, axis=0))
        - METRICS[metric](np.repeat(labels, times), np.repeat(probs[1], times, axis=0))
        for times in (1, 2)
    )
    # DeLong divides by m (m - 1) of the m cases of a class, so doubling costs 1 / (2 m - 1) of it.
    few = min(np.bincount(labels))
    slack = 0 if metric == "accuracy" else 1 / (2 * few - 1)
    grouped = twice.variance(np.repeat(patients, 2)) / once.variance()
    assert 1 - slack - 1e-12 <= grouped <= 1 + 1e-12
    assert twice.variance() / once.variance() == pytest.approx(grouped / 2)


def test_groups_may_have_positive_and_negative_cases():
    truth = np.array([True, False] * 30)
    score = np.random.default_rng(0).normal(size=60) + truth
    influence = auc_influence(truth, score)
    want = sum(influence.cases[2 * pair : 2 * pair + 2].sum() ** 2 for pair in range(30))
    assert influence.variance(np.arange(60) // 2) == pytest.approx(want)
    assert want != pytest.approx(influence.variance())


def test_values_are_those_of_scikit_learn():
    labels, _, (probs, _) = draw(np.random.default_rng(0), 200)
    area = roc_auc_score(labels, probs, multi_class="ovr")
    assert macro_auc_influence(labels, probs).value == pytest.approx(area)
    right = accuracy_score(labels, probs.argmax(axis=1))
    assert accuracy_influence(labels, probs).value == pytest.approx(right)


@pytest.mark.parametrize("images", [1, 2])
def test_standard_error_of_macro_auc_equals_that_of_the_bootstrap(images):
    labels, patients, probs = draw(np.random.default_rng(1), 500, images, (2.0, 1.6))
    weights = bootstrap_weights(patients)
    resampled = [macro_auc(labels, each, weights) for each in probs]
    one, other = (macro_auc_influence(labels, each) for each in probs)
    for influence, values in ((one, resampled[0]), (one - other, resampled[0] - resampled[1])):
        # 2,000 resamples know an error to 1.6 %.
        assert np.sqrt(influence.variance(patients)) == pytest.approx(values.std(), rel=0.06)


def test_standard_error_of_the_mean_over_seeds_equals_that_of_the_bootstrap():
    labels, patients, probs = draw(np.random.default_rng(1), 400, skills=(2.0, 2.0, 2.0))
    weights = bootstrap_weights(patients)
    influence = mean_influence([macro_auc_influence(labels, each) for each in probs])
    resampled = np.mean([macro_auc(labels, each, weights) for each in probs], axis=0)
    assert np.sqrt(influence.variance()) == pytest.approx(resampled.std(), rel=0.06)
    areas = [roc_auc_score(labels, each, multi_class="ovr") for each in probs]
    assert influence.value == pytest.approx(np.mean(areas))


def simulate(repeats, n, images, skills):
    """Repeat a comparison; a row a repeat: the difference, and p over patients and over images."""
    rng = np.random.default_rng(0)
    found = {metric: [] for metric in METRICS}
    for _ in range(repeats):
        labels, patients, probs = draw(rng, n, images, skills)
        for metric, of in METRICS.items():
            difference = of(labels, probs[0]) - of(labels, probs[1])
            by = [p_value(difference.value, difference.variance(who)) for who in (patients, None)]
            found[metric].append((difference.value, *by))
    return {metric: np.array(rows).T for metric, rows in found.items()}


def within_chance(share, repeats):
    """What a count of `repeats` may show, but for one in a thousand."""
    low, high = stats.binom.interval(0.999, repeats, share)
    return low / repeats, high / repeats


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("repeats", REPEATS)
def test_equal_models_differ_significantly_in_5_percent_of_the_repeats(repeats, images):
    low, high = within_chance(ALPHA, repeats)
    for metric, (_, p, p_of_images) in simulate(repeats, 600, images, (2.0, 2.0)).items():
        assert low <= np.mean(p < ALPHA) <= high, metric
        if images > 1:
            assert np.mean(p_of_images < ALPHA) > high, metric


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("repeats", REPEATS)
def test_power_equals_the_theoretical_power(repeats, images):
    for metric, (value, p, _) in simulate(repeats, 600, images, (2.0, 1.7)).items():
        shift = value.mean() / value.std(ddof=1)
        theory = stats.norm.sf(stats.norm.isf(ALPHA / 2) - shift)
        assert 0.3 < theory < 0.95, metric
        low, high = within_chance(theory, repeats)
        # The error of 200 patients of whom 18 are malignant is itself known to 12 % only.
        slack = 0.02 if images > 1 else 0
        assert low - slack <= np.mean(p < ALPHA) <= high + slack, metric


def coverage(repeats, n, images, resamples=400):
    """How often the interval of each metric holds the value of 300,000 images."""
    rng = np.random.default_rng(0)
    labels, _, probs = draw(rng, 300_000, skills=(2.0,))
    truth = {metric: of(labels, probs[0]).value for metric, of in METRICS.items()}
    held = dict.fromkeys(METRICS, 0)
    for repeat in range(repeats):
        labels, patients, (probs,) = draw(rng, n, images, (2.0,))
        weights = with_sample(bootstrap_weights(patients, resamples, seed=repeat))
        resampled = {
            "macro_auc": macro_auc(labels, probs, weights),
            "accuracy": mean(probs.argmax(axis=1) == labels, weights),
        }
        for metric, values in resampled.items():
            low, high = interval(values[0], values[1:])
            held[metric] += low <= truth[metric] <= high
    return {metric: count / repeats for metric, count in held.items()}


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("repeats", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_intervals_contain_the_truth_in_95_percent_of_the_repeats(repeats, images):
    # Percentile intervals are a little narrow where a class has few patients: 93 % and not 95.
    low, high = within_chance(0.95, repeats)
    for metric, share in coverage(repeats, 600, images).items():
        assert low - 0.015 <= share <= high, metric
