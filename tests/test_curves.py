"""The curves of summary.json against scikit-learn and against hand-made cases."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve
from sweeps import cases_of, edit_val, summary_in_memory, write_run, write_scored

from btxrd.artifacts.summary import write_summary
from btxrd.report.curves import GRID, THRESHOLDS, net_benefit, precision, sensitivity

ONE = np.ones((1, 150))


@pytest.fixture(scope="module")
def cases():
    """150 cases with ties: whether each is true, and its score."""
    found = cases_of("c", 150, 0.2)
    return found.labels == 2, found.probs[:, 2].round(1)


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """The curves of four settings; the last one is best on val."""
    folder = tmp_path_factory.mktemp("sweep")
    for place in range(4):
        run_dir = write_run(folder, f"m{place}", backbone=f"m{place}", noise=place)
        edit_val(run_dir, 0.5 + 0.1 * place, 0.5)
    return summary_in_memory(folder).curves[0]


def test_sensitivity_is_that_of_scikit_learn(cases):
    x, y, _ = roc_curve(*cases, drop_intermediate=False)
    assert sensitivity(*cases, ONE)[0] == pytest.approx(np.interp(GRID, x, y))


def test_precision_is_that_of_the_highest_threshold(cases):
    right, recall, _ = precision_recall_curve(*cases)
    steps = [right[recall >= at - 1e-9][-1] for at in GRID[1:]]
    assert precision(*cases, ONE)[0][1:] == pytest.approx(steps)
    assert average_precision_score(*cases) == pytest.approx(np.mean(steps), abs=0.02)


def test_net_benefit_counts_false_alarms_at_the_odds_of_the_threshold():
    truth, score = np.array([True, False, False, True]), np.array([0.5, 0.5, 0.1, 0.05])
    found = net_benefit(truth, score, np.ones((1, 4)))[0]
    at = int(np.argmin(np.abs(THRESHOLDS - 0.2)))
    assert found[at] == pytest.approx(1 / 4 - 1 / 4 * 0.2 / 0.8)


def test_weight_of_two_equals_two_copies_of_a_case(cases):
    truth, score = cases
    weights = np.where(np.arange(150) < 50, 2.0, 1.0)
    twice = [np.concatenate([part, part[:50]]) for part in (truth, score)]
    for draw in (sensitivity, precision, net_benefit):
        assert draw(truth, score, weights[None]) == pytest.approx(draw(*twice, np.ones((1, 200))))


def test_selected_setting_and_the_next_two_have_bands(curves):
    assert curves.highlighted == ("m3", "m2", "m1")
    banded = {curve.setting for curve in curves.per_class["malignant"].roc if curve.low}
    assert banded == {"m3", "m2", "m1"}


def test_band_contains_the_curve(curves):
    for curve in (*curves.per_class["malignant"].precision_recall, *curves.net_benefit):
        if curve.low is not None and curve.high is not None:
            ends = zip(curve.low, curve.y, curve.high, strict=True)
            assert all(low <= y <= high for low, y, high in ends)


def test_bins_of_a_calibration_curve_hold_every_case(curves):
    assert {sum(curve.count) for curve in curves.calibration} == {60.0}
    assert [curve.is_scaled for curve in curves.calibration] == [False, True] * 3


def test_class_without_test_cases_has_no_curve(tmp_path):
    test = cases_of("stratified-test", 60, 0.3)
    write_scored(write_run(tmp_path, "run"), cases_of("stratified-val", 40, 0.5),
                 test.where(test.labels < 2))  # fmt: skip
    found = summary_in_memory(tmp_path).curves[0]
    assert found.per_class["malignant"].roc == ()


def test_list_of_numbers_is_one_line_of_summary_json(tmp_path):
    write_run(tmp_path, "run")
    write_summary(tmp_path, summary_in_memory(tmp_path))
    text = (tmp_path / "summary.json").read_text()
    found = json.loads(text)["curves"][0]["grid"]
    assert f'"grid": [{", ".join(map(str, found))}]' in text
