"""Paired comparisons of settings: which cases, units and pairs they use."""

from dataclasses import replace
from itertools import combinations
from string import ascii_lowercase
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from sweeps import NAMES, cases_of, summary_of, write_run, write_scored

from btxrd.artifacts.classes import ClassNames
from btxrd.report.compare import letters_of

METRICS = ("macro_auc", "accuracy")


def read_test(run_dir):
    table = pd.read_csv(run_dir / "predictions.csv")
    table = table[table["partition"] == "test"]
    labels = table["label"].map(NAMES.names.index).to_numpy()
    return labels, table[[f"prob_{name}" for name in NAMES.names]].to_numpy()


def area(labels, probs):
    return roc_auc_score(labels, probs, multi_class="ovr")


def pair_of(folder, one=(), **other):
    write_run(folder, "one", **{"skill": (0.5, 0.3), "backbone": "one", **dict(one)})
    write_run(folder, "other", **{"skill": (0.5, 0.2), "backbone": "other", "noise": 1, **other})
    (row,) = summary_of(folder)["comparisons"]
    return row


def seeds_of(folder, seeds=(0, 1, 2), names=("one", "other")):
    for seed in seeds:
        for position, name in enumerate(names):
            power = (0.55, 0.25)[position] + (0, 0.3, -0.2)[seed]
            write_run(
                folder, f"backbone={name},seed={seed}", backbone=name, seed=seed,
                skill=(0.5, power), noise=seed,
            )  # fmt: skip


def test_difference_is_that_of_the_metrics_of_scikit_learn(tmp_path):
    row = pair_of(tmp_path)
    one, other = (read_test(tmp_path / name) for name in ("one", "other"))
    assert row["macro_auc"]["value"] == pytest.approx(area(*one) - area(*other))
    right = [probs.argmax(1) == labels for labels, probs in (one, other)]
    assert row["accuracy"]["value"] == pytest.approx(right[0].mean() - right[1].mean())
    assert row["accuracy"]["mcnemar"]["only_one"] == (right[0] & ~right[1]).sum()
    assert (row["one"], row["other"], row["n"], row["groups"]) == ("one", "other", 60, 60)


def test_groups_of_one_case_give_the_p_values_of_cases(tmp_path):
    row = pair_of(tmp_path)
    for metric in METRICS:
        assert row[metric]["p"] == pytest.approx(row[metric]["p_cases"])


def test_copies_of_cases_in_the_same_groups_do_not_lower_p(tmp_path):
    """Detects intervals or p values over cases instead of groups."""
    single = pair_of(tmp_path / "single")
    copied = pair_of(tmp_path / "copied", one={"copies": 3}, copies=3)
    assert (copied["n"], copied["groups"]) == (180, 60)
    for metric in METRICS:
        for end in ("low", "high"):
            assert copied[metric][end] == pytest.approx(single[metric][end])
        assert copied[metric]["p_cases"] < single[metric]["p_cases"] / 2
    assert copied["accuracy"]["p"] == pytest.approx(single["accuracy"]["p"])
    assert copied["macro_auc"]["p"] == pytest.approx(single["macro_auc"]["p"], rel=0.3)
    for name in NAMES.names:
        of_class = [row["macro_auc"]["per_class"][name]["p"] for row in (copied, single)]
        assert of_class[0] == pytest.approx(of_class[1], rel=0.3)


def test_interval_of_a_setting_is_over_groups(tmp_path):
    """Detects intervals of the table of settings over cases."""
    for folder, copies in (("single", 1), ("copied", 3)):
        for seed in (0, 1):
            write_run(tmp_path / folder, f"{seed}", seed=seed, noise=seed, skill=(0.5, 0.2),
                      copies=copies)  # fmt: skip
    (single,), (copied,) = (
        summary_of(tmp_path / name)["settings"] for name in ("single", "copied")
    )
    for metric in METRICS:
        for end in ("low", "high"):
            assert copied[metric][end] == pytest.approx(single[metric][end])


def test_cases_are_paired_by_their_id(tmp_path):
    """Detects a comparison row by row of files in another order."""
    before = pair_of(tmp_path)
    for name in ("predictions.csv", "split.csv"):
        path = tmp_path / "one" / name
        pd.read_csv(path).sample(frac=1, random_state=len(name)).to_csv(path, index=False)
    (after,) = summary_of(tmp_path)["comparisons"]
    assert after == before


def test_equal_predictions_are_not_significantly_different(tmp_path):
    row = pair_of(tmp_path, skill=(0.5, 0.3), noise=0)
    assert row["macro_auc"] | {"per_class": 0, "mcnemar": 0} == {
        "value": 0, "low": 0, "high": 0, "p": 1, "p_cases": 1, "p_holm": 1, "significant": False,
        "seed_sd": None, "seed_share": None, "per_class": 0, "mcnemar": 0,
    }  # fmt: skip
    assert row["accuracy"]["mcnemar"] == {"only_one": 0, "only_other": 0, "p": 1}


def changed(cases, what):
    other = ClassNames(NAMES.names, "benign", "normal")
    return {
        "ids": lambda: replace(cases, ids=np.char.add(cases.ids, "x")),
        "groups": lambda: replace(cases, groups=np.repeat(cases.groups[::2], 2)),
        "labels": lambda: replace(cases, labels=cases.labels[::-1]),
        "focus": lambda: replace(cases, names=other),
        "nothing": lambda: cases,
    }[what]()


@pytest.mark.parametrize(
    ("what", "pairs"), [("nothing", 1), ("ids", 0), ("groups", 0), ("labels", 0), ("focus", 0)]
)
def test_only_equal_cases_labels_groups_and_classes_are_compared(tmp_path, what, pairs):
    write_run(tmp_path, "one", backbone="one")
    run_dir = write_run(tmp_path, "other", backbone="other")
    val, test = (cases_of(f"stratified-{part}", n, 0.5) for part, n in (("val", 40), ("test", 60)))
    if what == "focus":
        val = changed(val, what)
    write_scored(run_dir, val, changed(test, what))
    assert len(summary_of(tmp_path)["comparisons"]) == pairs


def test_seeds_of_one_setting_are_not_compared(tmp_path):
    for seed in range(3):
        write_run(tmp_path, f"seed={seed}", seed=seed, noise=seed)
    assert summary_of(tmp_path)["comparisons"] == []


def test_p_is_adjusted_for_all_pairs(tmp_path):
    for place, skill in enumerate((0.2, 0.35, 0.7)):
        write_run(tmp_path, f"m{place}", backbone=f"m{place}", skill=(0.5, skill), noise=place)
    rows = summary_of(tmp_path)["comparisons"]
    p = np.array([row["macro_auc"]["p"] for row in rows])
    smallest = int(p.argmin())
    assert rows[smallest]["macro_auc"]["p_holm"] == pytest.approx(3 * p[smallest])
    assert all(row["macro_auc"]["p_holm"] >= row["macro_auc"]["p"] for row in rows)


def test_p_is_adjusted_for_the_pairs_of_all_splits_by_metric(tmp_path):
    """Detects Holm within one split, and one family for both metrics."""
    for split in ("stratified", "center"):
        for name, skill in (("one", 0.4), ("other", 0.1)):
            write_run(tmp_path, f"{name},split={split}", split=split, backbone=name,
                      skill=(0.5, skill), noise=len(name + split))  # fmt: skip
    rows = summary_of(tmp_path)["comparisons"]
    for metric in METRICS:
        p = [row[metric]["p"] for row in rows]
        p_holm = [row[metric]["p_holm"] for row in rows]
        assert min(p_holm) == pytest.approx(min(1, 2 * min(p)))


@pytest.mark.parametrize(("factor", "significant"), [(0.99, True), (1.01, False)])
def test_significance_is_that_of_the_adjusted_p(tmp_path, monkeypatch, factor, significant):
    """Detects a test of the unadjusted p, and another level than 5%."""
    monkeypatch.setattr("btxrd.report.compare.holm", lambda p: [0.05 * factor for _ in p])
    assert pair_of(tmp_path)["accuracy"]["significant"] is significant


def test_settings_that_do_not_differ_significantly_share_a_letter(tmp_path):
    for name, skill, noise in (("best", 0.9, 0), ("good", 0.9, 1), ("bad", 0.02, 2)):
        write_run(tmp_path, name, backbone=name, skill=(skill, skill), noise=noise, cases=(40, 180))
    summary = summary_of(tmp_path)
    letters = {row["setting"]: row["macro_auc"]["set"] for row in summary["settings"]}
    assert letters == {"best": "a", "good": "a", "bad": "b"}
    significant = {
        (row["one"], row["other"]): row["macro_auc"]["significant"]
        for row in summary["comparisons"]
    }
    assert significant == {("best", "good"): False, ("best", "bad"): True, ("good", "bad"): True}


def test_sets_of_one_letter_may_overlap(tmp_path):
    for name, skill in (("high", 0.5), ("middle", 0.32), ("low", 0.14)):
        write_run(tmp_path, name, backbone=name, skill=(0.5, skill), noise=len(name))
    rows = summary_of(tmp_path)
    significant = {
        tuple(row["runs"]) for row in rows["comparisons"] if row["macro_auc"]["significant"]
    }
    letters = {row["setting"]: row["macro_auc"]["set"] for row in rows["settings"]}
    for row in rows["comparisons"]:
        share = bool(set(letters[row["one"]]) & set(letters[row["other"]]))
        assert share == (tuple(row["runs"]) not in significant)


def test_letters_are_of_the_metric_beside_them(tmp_path):
    """Detects letters of accuracy from the tests of macro AUC."""
    write_run(tmp_path, "one", backbone="one", skill=(0.5, 0.3))
    run_dir = write_run(tmp_path, "other", backbone="other")
    val, test = (cases_of(f"stratified-{part}", n, 0.3) for part, n in (("val", 40), ("test", 60)))
    flat = test.probs / 50 + np.array([0.98, 0, 0])  # the same order of cases, one class predicted
    write_scored(run_dir, val, replace(test, probs=flat))
    letters = {name: [] for name in METRICS}
    for row in summary_of(tmp_path)["settings"]:
        for name in METRICS:
            letters[name].append(row[name]["set"])
    assert letters == {"macro_auc": ["a", "a"], "accuracy": ["a", "b"]}


@pytest.mark.parametrize(("number", "shown"), [(26, True), (27, False)])
def test_no_letters_are_shown_if_the_alphabet_does_not_suffice(number, shown):
    metric = {"macro_auc": SimpleNamespace(significant=True)}
    pairs = [
        SimpleNamespace(runs=runs, differences=metric)
        for runs in combinations(map(str, range(number)), 2)
    ]
    settings = [SimpleNamespace(runs=[SimpleNamespace(name=str(at))]) for at in range(number)]
    values = [SimpleNamespace(resampled=[-at]) for at in range(number)]
    compared = SimpleNamespace(settings=settings, metrics={"macro_auc": values})
    letters = letters_of(compared, pairs, "macro_auc")
    assert letters == (list(ascii_lowercase) if shown else [""] * number)


def test_letters_of_different_test_sets_differ(tmp_path):
    write_run(tmp_path, "a", backbone="a", cases=(40, 60))
    write_run(tmp_path, "b", backbone="b", cases=(40, 90))
    assert [row["macro_auc"]["set"] for row in summary_of(tmp_path)["settings"]] == ["a1", "a2"]


def test_variance_of_seeds_is_pooled_and_divided_by_the_number_of_seeds(tmp_path):
    seeds_of(tmp_path)
    summary = summary_of(tmp_path)
    (row,) = summary["comparisons"]
    sds = [found["macro_auc"]["sd"] for found in summary["settings"]]
    pooled = np.sqrt(np.mean(np.square(sds)))
    assert row["macro_auc"]["seed_sd"] == pytest.approx(pooled * np.sqrt(2 / 3))
    assert row["seeds"] == [3, 3]


def test_setting_with_one_seed_has_the_pooled_variance_of_seeds(tmp_path):
    """Detects a seed variance of 0 for a setting with one seed."""
    seeds_of(tmp_path, names=("one",))
    write_run(tmp_path, "backbone=other,seed=0", backbone="other", seed=0, noise=9)
    summary = summary_of(tmp_path)
    (row,) = summary["comparisons"]
    (sd,) = [found["accuracy"]["sd"] for found in summary["settings"] if found["accuracy"]["sd"]]
    assert row["accuracy"]["seed_sd"] == pytest.approx(sd * np.sqrt(1 / 3 + 1))


def test_variance_of_seeds_enters_p_with_satterthwaites_degrees_of_freedom(tmp_path):
    """Detects a p without the variance of seeds, or with the wrong degrees of freedom."""
    seeds_of(tmp_path)
    (row,) = summary_of(tmp_path)["comparisons"]
    for metric in METRICS:
        found = row[metric]
        of_seeds = found["seed_sd"] ** 2
        total = of_seeds / found["seed_share"]
        degrees = 4 * (total / of_seeds) ** 2
        p = 2 * stats.t.sf(found["value"] / np.sqrt(total), degrees)
        assert found["p"] == pytest.approx(p)
        assert 0 < found["seed_share"] < 1
        assert found["p"] > found["p_cases"]


def test_seeds_widen_the_interval_of_a_difference(tmp_path, monkeypatch):
    seeds_of(tmp_path)
    (wide,) = summary_of(tmp_path)["comparisons"]
    monkeypatch.setattr(
        "btxrd.report.comparison_sets.SeedVariance.noise",
        lambda self, count, *settings, stream=0: np.zeros(1 + count),
    )
    (narrow,) = summary_of(tmp_path)["comparisons"]
    for metric in METRICS:
        assert wide[metric]["low"] < narrow[metric]["low"]
        assert wide[metric]["high"] > narrow[metric]["high"]


def test_seeds_widen_the_interval_of_a_setting(tmp_path, monkeypatch):
    seeds_of(tmp_path)
    wide = summary_of(tmp_path)["settings"][0]
    monkeypatch.setattr(
        "btxrd.report.comparison_sets.SeedVariance.noise",
        lambda self, count, *settings, stream=0: np.zeros(1 + count),
    )
    narrow = summary_of(tmp_path)["settings"][0]
    for metric in METRICS:
        assert wide[metric]["low"] < narrow[metric]["low"]


def test_seeds_of_another_split_are_not_pooled(tmp_path):
    """Detects a seed variance that is pooled over all splits."""
    pair_of(tmp_path)
    for seed in (0, 1):
        write_run(tmp_path, f"split=center,seed={seed}", split="center", seed=seed, noise=seed,
                  skill=(0.5, 0.9 * seed))  # fmt: skip
    (row,) = summary_of(tmp_path)["comparisons"]
    assert row["macro_auc"]["seed_sd"] is None


def test_mcnemars_test_needs_one_seed_a_setting(tmp_path):
    seeds_of(tmp_path)
    (row,) = summary_of(tmp_path)["comparisons"]
    assert row["accuracy"]["mcnemar"] is None


def test_an_interval_is_within_the_range_of_its_metric(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, f"seed={seed}", seed=seed, noise=seed, skill=(0.5, 0.9 * seed))
    (row,) = summary_of(tmp_path)["settings"]
    assert 0 <= row["macro_auc"]["low"] < row["macro_auc"]["high"] <= 1


@pytest.mark.parametrize(("groups", "is_tested"), [(9, False), (10, True)])
def test_fewer_than_ten_groups_are_not_tested(tmp_path, groups, is_tested):
    row = pair_of(tmp_path, one={"cases": (40, groups), "copies": 2}, cases=(40, groups), copies=2)
    for metric in METRICS:
        assert (row[metric]["p"] is not None) == is_tested
        assert (row[metric]["p_holm"] is not None) == is_tested


def test_macro_auc_is_not_compared_if_a_class_is_absent_from_test(tmp_path):
    for seed in (0, 1):
        for name in ("one", "other"):
            write_run(tmp_path, f"backbone={name},seed={seed}", backbone=name, seed=seed,
                      noise=seed, cases=(40, 2))  # fmt: skip
    summary = summary_of(tmp_path)
    (row,) = summary["comparisons"]
    assert row["macro_auc"]["value"] is row["macro_auc"]["p"] is None
    assert not row["macro_auc"]["significant"]
    assert summary["settings"][0]["macro_auc"]["sd"] is None


def test_runs_of_two_data_sets_are_in_one_summary(tmp_path):
    """Detects a comparison, and a column, that assumes one set of classes."""
    names = ClassNames(("clear", "lesion"), "lesion", "clear")
    write_run(tmp_path, "three", backbone="one")
    write_run(tmp_path, "two", backbone="two", names=names)
    summary = summary_of(tmp_path)
    assert summary["comparisons"] == []
    assert [row["classes"] for row in summary["settings"]] == [
        ["normal", "benign", "malignant"], ["clear", "lesion"],
    ]  # fmt: skip
    assert summary["metrics"][-2:] == ["malignant_predicted_normal", "lesion_predicted_clear"]
    assert len(summary["winners"]) == 2
