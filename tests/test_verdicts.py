"""What summary.json concludes about settings, held against data whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sweeps import Cases, cases_of, edit_val, summary_of, write_history, write_run, write_scored

from btxrd.evaluation.bootstrap import bootstrap_weights, with_sample
from btxrd.evaluation.formulas import macro_auc
from btxrd.report.simultaneous import Panel, judge

SHARES = (0.5, 0.41, 0.09)  # of the classes in BTXRD


def panel_of(columns, groups=100, fewest=50, sd=0.0):
    resampled = np.column_stack(columns)
    size = resampled.shape
    noise = np.random.default_rng(7).normal(size=size) * sd
    noise[0] = 0
    return Panel(resampled, noise, np.full(size[1], sd**2), groups, fewest)


def draw(rng, n, skills, common=1.0):
    """Draw labels, and the probabilities of models of some skill that share a part of the noise."""
    labels = rng.choice(3, n, p=SHARES)
    shared = common * rng.normal(size=(n, 3))
    return labels, [
        softmax(skill * np.eye(3)[labels] + shared + rng.normal(size=(n, 3)), axis=1)
        for skill in skills
    ]


def judged(rng, n, skills, margin=0.02, resamples=400):
    """Judge the differences of all models from the first one."""
    labels, models = draw(rng, n, skills)
    weights = with_sample(bootstrap_weights(np.arange(n), resamples))
    panel = panel_of(
        [macro_auc(labels, probs, weights) for probs in models], n, np.bincount(labels).min()
    )
    contrasts = np.eye(len(skills))[1:]
    contrasts[:, 0] = -1
    return judge(panel, contrasts, margin)


def write_cases(sweep_dir, name, labels, probs, **config):
    """Write a run with these test cases; half as skilled on val as `skill` says."""
    run_dir = write_run(sweep_dir, name, backbone=name, **config)
    n = len(labels)
    ids = np.array([f"t{place:04}" for place in range(n)])
    test = Cases(labels, probs, ids, ids, np.ones(n, int))
    write_scored(run_dir, cases_of("val", 60, 0.5), test)
    write_history(run_dir, 2)
    return run_dir


def test_identical_predictions_do_not_differ():
    column = np.random.default_rng(0).normal(0.8, 0.01, 501)
    (found,) = judge(panel_of([column, column]), np.array([[-1.0, 1.0]]), 0.02)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert (found.verdict, found.within_margin) == ("no_difference", True)


def test_a_difference_without_variance_has_an_interval_all_the_same():
    """A perfect model and a constant one differ by exactly 0.5 in every resample."""
    columns = [np.full(501, 1.0), np.full(501, 0.5)]
    (found,) = judge(panel_of(columns, fewest=20), np.array([[-1.0, 1.0]]), 0.02)
    assert found.verdict == "worse"
    assert found.high - found.low > 0.1
    (few,) = judge(panel_of(columns, fewest=5), np.array([[-1.0, 1.0]]), 0.02)
    assert few.verdict == "not_enough_data"


@pytest.mark.parametrize(("groups", "fewest"), [(9, 5), (10, 4)])
def test_few_groups_are_not_tested(groups, fewest):
    column = np.random.default_rng(0).normal(0.8, 0.01, 501)
    (found,) = judge(panel_of([column, column + 0.1], groups, fewest), np.array([[-1.0, 1.0]]), 0.1)
    assert (found.verdict, found.low, found.detectable) == ("not_tested", None, None)


def test_interval_and_verdict_are_one_statement():
    for seed in range(5):
        for found in judged(np.random.default_rng(seed), 300, (2.0, 2.0, 1.5, 2.5)):
            assert (found.verdict == "better") == (found.low > 0)
            assert (found.verdict == "worse") == (found.high < 0)
            if found.verdict == "no_difference":
                assert -0.02 <= found.low <= 0 <= found.high <= 0.02


def test_a_real_difference_is_found_and_an_interval_grows_with_the_family():
    (alone,) = judged(np.random.default_rng(0), 600, (2.0, 1.5))
    assert alone.verdict == "worse"
    assert -0.1 < alone.value < -0.03
    first, *_ = judged(np.random.default_rng(0), 600, (2.0, 1.5, *(1.5,) * 20))
    assert first.value == pytest.approx(alone.value)
    assert first.high - first.low > 1.2 * (alone.high - alone.low)
    assert first.tests == 21


def test_few_groups_of_a_class_widen_an_interval():
    column = np.random.default_rng(0).normal(0.8, 0.01, 501)
    widths = []
    for fewest in (5, 50):
        panel = panel_of([column, column[::-1]], fewest=fewest)
        (found,) = judge(panel, np.array([[-1.0, 1.0]]), 0.02)
        widths.append(found.high - found.low)
    assert widths[0] > 1.3 * widths[1]


def test_seeds_of_the_selected_setting_are_one_draw_for_all_differences():
    """Kills independent noise in each difference, which would make the family wider."""
    column = np.full(2001, 0.8)
    panel = panel_of([column] * 3, sd=0.01)
    first, other = judge(panel, np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]), 0.02)
    assert first.high == pytest.approx(other.high)
    assert 2.1 < first.high / (0.01 * np.sqrt(2)) < 2.35


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 600])
def test_a_family_of_equal_models_is_rarely_found_to_differ(n):
    rng, wrong, repeats = np.random.default_rng(n), 0, 200
    for _ in range(repeats):
        found = judged(rng, n, (2.0,) * 8)
        wrong += any(one.verdict in ("better", "worse") for one in found)
    assert wrong <= 0.09 * repeats


def test_shuffled_labels_leave_no_winner(tmp_path):
    rng = np.random.default_rng(3)
    for name in ("one", "other"):
        labels, (probs,) = draw(rng, 300, (2.0,))
        labels = np.arange(300) % 3
        write_cases(tmp_path, name, labels, probs.round(9))
    found = summary_of(tmp_path)
    assert found["winners"] == []
    (split,) = found["unselected"]
    assert split["reason"] == "at_chance"
    assert {row["skill"] for row in found["settings"]} == {"at_chance"}
    assert [row["difference"] for row in found["settings"]] == [None, None]


def test_next_best_setting_does_not_follow_one_at_chance(tmp_path):
    """Kills a selection on test."""
    edit_val(write_run(tmp_path, "lucky", backbone="a", skill=(0.9, 0.0)), 1.0, 1.0)
    edit_val(write_run(tmp_path, "able", backbone="b", skill=(0.5, 0.9), noise=1), 0.9, 0.9)
    found = summary_of(tmp_path)
    assert found["winners"] == []
    (split,) = found["unselected"]
    assert (split["setting"], split["reason"], split["of"]) == ("lucky", "at_chance", 2)
    assert split["best"]["value"] > 0.9


def test_a_setting_that_predicts_one_class_on_val_cannot_win(tmp_path):
    run_dir = write_run(tmp_path, "flat", backbone="a", skill=(0.9, 0.9))
    val, test = (cases_of(f"stratified-{part}", n, 0.9) for part, n in (("val", 40), ("test", 60)))
    flat = [replace(part, probs=part.probs / 50 + np.array([0.98, 0, 0])) for part in (val, test)]
    write_scored(run_dir, *flat)
    assert summary_of(tmp_path)["unselected"][0]["reason"] == "constant"
    write_run(tmp_path, "able", backbone="b", skill=(0.4, 0.4), noise=1)
    found = summary_of(tmp_path)
    assert [winner["setting"] for winner in found["winners"]] == ["able"]
    assert [row["constant"] for row in found["settings"]] == [{"flat": "normal"}, {}]


def test_skill_on_twelve_films_is_not_known(tmp_path):
    write_run(tmp_path, "few", skill=(0.9, 0.9), cases=(40, 12))
    found = summary_of(tmp_path)
    assert [row["skill"] for row in found["settings"]] == ["not_known"]
    assert len(found["winners"]) == 1


def test_settings_on_the_same_config_have_one_key(tmp_path):
    for split in ("stratified", "center"):
        for name in ("a", "b"):
            write_run(tmp_path, f"m={name},split={split}", split=split, backbone=name)
    rows = summary_of(tmp_path)["settings"]
    assert len({row["key"] for row in rows}) == 2
    assert {row["split_hash"] for row in rows} == {"stratified-whole", "center-whole"}


def test_planned_runs_are_those_that_differ_in_the_seed(tmp_path):
    write_run(tmp_path, "m=a,seed=0", seed=0)
    write_run(tmp_path, "m=a,seed=1", seed=1, state="failed")
    write_run(tmp_path, "m=b,seed=0", seed=0, backbone="b")
    assert [row["planned"] for row in summary_of(tmp_path)["settings"]] == [2, 1]
