"""What summary.json concludes about settings, held against data whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sweeps import (
    NAMES,
    Cases,
    cases_of,
    edit_val,
    summary_of,
    write_history,
    write_run,
    write_scored,
)

from btxrd.artifacts.tables import GRADCAM, columns_of, write_table
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
    """Detects independent noise in each difference, which would make the family wider."""
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


def test_next_best_setting_is_not_selected_instead_of_one_at_chance(tmp_path):
    """Detects a selection on test."""
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


def test_skill_on_twelve_images_is_not_known(tmp_path):
    write_run(tmp_path, "few", skill=(0.9, 0.9), cases=(40, 12))
    found = summary_of(tmp_path)
    assert [row["skill"] for row in found["settings"]] == ["not_known"]
    assert (found["winners"], found["unselected"][0]["reason"]) == ([], "too_few")


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


def gaps_of(tmp_path, seen, unseen, cases=300):
    for split, power in (("stratified", seen), ("center", unseen)):
        write_run(tmp_path, f"split={split}", split=split, skill=(0.5, power), cases=(40, cases))
    return [gap["verdict"] for gap in summary_of(tmp_path)["generalisation_gap"]]


@pytest.mark.parametrize(
    ("seen", "unseen", "verdict"),
    [
        (0.6, 0.1, "loss"),
        (0.2, 0.6, "gain"),
        (0.3, 0.3, "not_enough_data"),
        (1.0, 1.0, "no_loss"),
        (0.0, 0.5, "not_assessed"),
    ],
)
def test_verdict_about_unseen_centers(tmp_path, seen, unseen, verdict):
    assert gaps_of(tmp_path, seen, unseen) == [verdict]


def write_grid(folder, skills, **more):
    """Write runs of two backbones with and without guidance, and one with a sham."""
    for noise, ((backbone, kind, sham), power) in enumerate(skills.items()):
        run_dir = write_run(
            folder, f"{backbone}-{kind}-{sham}", backbone=backbone, annotations=(kind, sham),
            skill=(0.5, power), noise=noise, cases=(40, 120), **more,
        )  # fmt: skip
        write_peaks(run_dir, 0.8 if kind == "guided" and sham == "none" else 0.2)


def write_peaks(run_dir, share):
    n = 60
    inside = (np.arange(n) * 7 % n < share * n).astype(float)
    table = pd.DataFrame({"image_id": [f"t{at}" for at in range(n)], "peak_inside": inside})
    rest = {
        "label": "benign", "predicted": "benign", "center": 1, "group": table["image_id"],
        "map": "ok",
    }  # fmt: skip
    scores = set(columns_of(GRADCAM)) - set(table) - set(rest)
    write_table(run_dir, GRADCAM, table.assign(**rest, **dict.fromkeys(scores, 0.1)))


SKILLS = {
    ("a", "none", "none"): 0.2,
    ("a", "guided", "none"): 0.6,
    ("a", "guided", "shuffled"): 0.2,
    ("b", "none", "none"): 0.2,
    ("b", "guided", "none"): 0.6,
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    write_grid(folder, SKILLS)
    return {(one["option"], one["one"], one["other"]): one for one in summary_of(folder)["options"]}


def test_options_are_compared_in_pairs_that_differ_in_nothing_else(grid):
    assert {key: len(one["pairs"]) for key, one in grid.items()} == {
        ("annotations", "guided", "none"): 2,
        ("annotations", "guided_shuffled", "guided"): 1,
        ("annotations", "guided_shuffled", "none"): 1,
        ("model", "b_cbam", "a_cbam"): 2,
    }
    assert {one["one"] for one in grid.values() if one["is_control"]} == {"guided_shuffled"}


def test_pair_names_the_values_that_both_settings_share(grid):
    pairs = grid["annotations", "guided", "none"]["pairs"]
    assert sorted(pair["context"] for pair in pairs) == ["a_cbam", "b_cbam"]
    assert {pair["difference"]["verdict"] for pair in pairs} == {"better"}


def test_the_pooled_difference_is_the_mean_of_the_pairs(grid):
    found = grid["annotations", "guided", "none"]
    values = [pair["difference"]["value"] for pair in found["pairs"]]
    assert found["pooled"]["value"] == pytest.approx(np.mean(values))
    widths = [one["high"] - one["low"] for one in [p["difference"] for p in found["pairs"]]]
    assert found["pooled"]["high"] - found["pooled"]["low"] < min(widths)
    assert found["pooled"]["tests"] == 3


def test_peaks_are_compared_tumour_by_tumour(grid):
    found = grid["annotations", "guided", "none"]
    assert [pair["peak_inside"]["value"] for pair in found["pairs"]] == pytest.approx([0.6, 0.6])
    assert found["pooled_peak_inside"]["verdict"] == "better"
    same = grid["annotations", "guided_shuffled", "none"]["pairs"][0]["peak_inside"]
    assert (same["value"], same["verdict"]) == (0, "not_enough_data")


def test_settings_at_chance_are_not_paired(tmp_path):
    write_grid(tmp_path, {("a", "none", "none"): 0.0, ("a", "guided", "none"): 0.6})
    assert summary_of(tmp_path)["options"] == []


def test_keys_of_a_model_are_part_of_it_unless_they_are_overrides(tmp_path):
    for typed in ("", ",training.lr=1"):
        for backbone, lr in (("a", 1e-3), ("b", 1e-4)):
            write_run(tmp_path / f"x{typed}", f"m={backbone}{typed}", backbone=backbone, lr=lr)
    assert [one["option"] for one in summary_of(tmp_path / "x")["options"]] == ["model"]
    assert summary_of(tmp_path / "x,training.lr=1")["options"] == []


def test_models_without_pixels_are_listed_for_each_split(tmp_path):
    for split in ("stratified", "center"):
        write_run(tmp_path, f"split={split}", split=split)
    found = {(one["split_hash"], one["name"]) for one in summary_of(tmp_path)["references"]}
    assert found == {(f"{split}-whole", "center_and_size") for split in ("stratified", "center")}


def write_uneven(tmp_path, n=240):
    """Write a run that is right except for many benign cases, and at chance at center 2."""
    labels, rng = np.arange(n) % 3, np.random.default_rng(1)
    centers = np.where(np.arange(n) < n // 2, 1, 2)
    probs = softmax(4 * np.eye(3)[labels] + rng.normal(size=(n, 3)), axis=1)
    probs[centers == 2] = softmax(rng.normal(size=(n // 2, 3)), axis=1)
    run_dir = write_run(tmp_path, "run")
    ids = np.array([f"t{place:04}" for place in range(n)])
    test = Cases(labels, probs.round(9), ids, ids, centers)
    write_scored(run_dir, cases_of("val", 60, 0.5), test)
    return run_dir, test


def test_a_center_where_the_model_fails_is_named(tmp_path):
    write_uneven(tmp_path)
    found = {row["name"]: row for row in summary_of(tmp_path)["subgroups"]}
    assert list(found) == ["center 1", "center 2", "normal", "benign", "malignant"]
    assert (found["center 1"]["verdict"], found["center 2"]["verdict"]) == ("better", "worse")
    assert found["center 2"]["difference"]["value"] < -0.4
    assert {found[name]["verdict"] for name in NAMES.names} == {"not_significant"}


def test_tumours_are_divided_by_lesion_size(tmp_path):
    run_dir, test = write_uneven(tmp_path)
    tumours = test.ids[test.labels > 0]
    shares = np.resize([0.005, 0.02, 0.2], len(tumours))
    shares[:5] = 0.5
    table = pd.DataFrame({"image_id": tumours, "lesion_share": shares, "group": tumours})
    rest = {"label": "benign", "predicted": "benign", "center": 1, "map": "empty"}
    scores = set(columns_of(GRADCAM)) - set(table) - set(rest)
    write_table(run_dir, GRADCAM, table.assign(**rest, **dict.fromkeys(scores, np.nan)))
    found = [row for row in summary_of(tmp_path)["subgroups"] if row["family"] == "lesion size"]
    assert sum(row["n"] for row in found) == len(tumours)
    assert len(found) == 3


def test_too_few_groups_are_not_judged(tmp_path):
    write_run(tmp_path, "few", skill=(0.9, 0.9), cases=(40, 24))
    found = summary_of(tmp_path)["subgroups"]
    assert [(row["verdict"], row["p_holm"]) for row in found] == [("too_few", None)] * 3
