"""What a summary says of differences, on sweeps that are written by hand."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sweeps import summary_of, write_run

from btxrd.data.constants import CLASSES
from btxrd.report.compare import benches_of
from btxrd.report.generalisation import generalisation_gap
from btxrd.report.runs import read_runs
from btxrd.report.settings import merged, settings_of
from btxrd.report.summary import summarize


def read_test(run_dir):
    table = pd.read_csv(run_dir / "predictions.csv")
    table = table[table["partition"] == "test"]
    labels = table["label"].map(CLASSES.index).to_numpy()
    return labels, table[[f"prob_{name}" for name in CLASSES]].to_numpy()


def area(labels, probs):
    return roc_auc_score(labels, probs, multi_class="ovr")


def pair_of(tmp_path, **other):
    write_run(tmp_path, "one", skill=(0.5, 0.6), backbone="one")
    write_run(tmp_path, "other", backbone="other", **other)
    (row,) = summary_of(tmp_path)["comparisons"]
    return row


def test_a_difference_is_that_of_scikit_learns_figures(tmp_path):
    row = pair_of(tmp_path, skill=(0.5, 0.2), noise=1)
    one, other = (read_test(tmp_path / name) for name in ("one", "other"))
    assert row["macro_auc"]["value"] == pytest.approx(area(*one) - area(*other))
    right = [probs.argmax(1) == labels for labels, probs in (one, other)]
    assert row["accuracy"]["value"] == pytest.approx(right[0].mean() - right[1].mean())
    assert row["accuracy"]["mcnemar"]["only_one"] == (right[0] & ~right[1]).sum()
    assert (row["one"], row["other"], row["n"], row["groups"]) == ("one", "other", 60, 60)


def test_groups_of_one_give_the_tests_of_cases(tmp_path):
    row = pair_of(tmp_path, skill=(0.5, 0.3), noise=1)
    for figure in ("macro_auc", "accuracy"):
        assert row[figure]["p"] == pytest.approx(row[figure]["p_cases"])


def test_equal_predictions_are_not_apart(tmp_path):
    row = pair_of(tmp_path, skill=(0.5, 0.6))
    assert row["macro_auc"] | {"per_class": 0} == {
        "value": 0, "low": 0, "high": 0, "p": 1, "p_cases": 1, "p_holm": 1, "apart": False,
        "seed_sd": None, "seed_share": None, "per_class": 0,
    }  # fmt: skip
    assert row["accuracy"]["mcnemar"] == {"only_one": 0, "only_other": 0, "p": 1}


def test_settings_on_other_test_films_are_not_compared(tmp_path):
    write_run(tmp_path, "a", backbone="one")
    write_run(tmp_path, "b", backbone="other", split="center")
    assert summary_of(tmp_path)["comparisons"] == []


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


def test_settings_that_cannot_be_told_apart_share_a_letter(tmp_path):
    for name, skill, noise in (("best", 0.9, 0), ("good", 0.9, 1), ("bad", 0.02, 2)):
        write_run(tmp_path, name, backbone=name, skill=(skill, skill), noise=noise, cases=(40, 180))
    summary = summary_of(tmp_path)
    letters = {row["setting"]: row["macro_auc"]["set"] for row in summary["settings"]}
    assert letters == {"best": "a", "good": "a", "bad": "b"}
    apart = {
        (row["one"], row["other"]): row["macro_auc"]["apart"] for row in summary["comparisons"]
    }
    assert apart == {("best", "good"): False, ("best", "bad"): True, ("good", "bad"): True}


def test_sets_may_overlap(tmp_path):
    for name, skill in (("high", 0.5), ("middle", 0.32), ("low", 0.14)):
        write_run(tmp_path, name, backbone=name, skill=(0.5, skill), noise=len(name))
    rows = summary_of(tmp_path)
    apart = {tuple(row["runs"]) for row in rows["comparisons"] if row["macro_auc"]["apart"]}
    letters = {row["setting"]: row["macro_auc"]["set"] for row in rows["settings"]}
    for row in rows["comparisons"]:
        share = bool(set(letters[row["one"]]) & set(letters[row["other"]]))
        assert share == (tuple(row["runs"]) not in apart)


def test_what_seeds_move_widens_a_difference_and_raises_its_p(tmp_path):
    alone, several = tmp_path / "alone", tmp_path / "several"
    for folder, seeds in ((alone, 1), (several, 3)):
        for seed in range(seeds):
            for name, skill in (("one", 0.55), ("other", 0.25)):
                power = skill + (0, 0.3, -0.2)[seed]
                write_run(folder, f"backbone={name},seed={seed}", backbone=name, seed=seed,
                          skill=(0.5, power), noise=seed)  # fmt: skip
    (single,), (row,) = (summary_of(folder)["comparisons"] for folder in (alone, several))
    assert single["macro_auc"]["seed_share"] is None
    assert 0 < row["macro_auc"]["seed_share"] < 1
    sds = [found["macro_auc"]["sd"] for found in summary_of(several)["settings"]]
    pooled = np.sqrt(np.mean(np.square(sds)))
    assert row["macro_auc"]["seed_sd"] == pytest.approx(pooled * np.sqrt(2 / 3))
    wide, narrow = (r["macro_auc"]["high"] - r["macro_auc"]["low"] for r in (row, single))
    assert wide > narrow
    assert row["seeds"] == [3, 3]


def test_several_sweeps_make_one_summary(tmp_path):
    for sweep, backbone in (("x", "one"), ("y", "other")):
        write_run(tmp_path / sweep, "run", backbone=backbone, noise=len(backbone))
    summarize([tmp_path / "x", tmp_path / "y"], tmp_path / "both")
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert [row["run"] for row in summary["runs"]] == ["x/run", "y/run"]
    assert len(summary["comparisons"]) == 1
    assert "../x/run" in (tmp_path / "both" / "report.html").read_text()


def test_sweeps_of_one_name_are_told_apart_by_their_paths(tmp_path):
    sweeps = [tmp_path / parent / "out" for parent in ("x", "y")]
    for sweep, backbone in zip(sweeps, ("one", "other"), strict=True):
        write_run(sweep, "run", backbone=backbone)
    summarize(sweeps, tmp_path / "both")
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert [row["run"] for row in summary["runs"]] == [f"{sweep}/run" for sweep in sweeps]


def test_a_run_whose_files_do_not_fit_is_damaged_and_takes_no_other_along(tmp_path):
    write_run(tmp_path, "whole", backbone="one")
    for name, damage in (("predictions.csv", "image_id,partition\n"), ("history.csv", "epoch\n"),
                         ("metrics.json", '{"val": {}, "test": {}}')):  # fmt: skip
        write_run(tmp_path, name, backbone=name)
        (tmp_path / name / name).write_text(damage)
    states = {row["run"]: row["state"] for row in summary_of(tmp_path)["runs"]}
    assert states.pop("whole") == "complete"
    assert set(states.values()) == {"damaged"}


def test_an_interval_stays_within_the_range_of_its_figure(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, f"seed={seed}", seed=seed, noise=seed, skill=(0.5, 0.9 * seed))
    (row,) = summary_of(tmp_path)["settings"]
    assert 0 <= row["macro_auc"]["low"] < row["macro_auc"]["high"] <= 1


def test_letters_of_other_test_films_are_other_letters(tmp_path):
    write_run(tmp_path, "a", backbone="a", cases=(40, 60))
    write_run(tmp_path, "b", backbone="b", cases=(40, 90))
    assert [row["macro_auc"]["set"] for row in summary_of(tmp_path)["settings"]] == ["a1", "a2"]


def test_the_command_that_is_named_writes_the_same_summary(tmp_path):
    for sweep in ("x", "y"):
        write_run(tmp_path / sweep, "run", backbone=sweep)
    sweeps, to = [tmp_path / "x", tmp_path / "y"], tmp_path / "both"
    summarize(sweeps, to, images=False)
    command = json.loads((to / "summary.json").read_text())["rebuild"]
    assert command == (f"python -m btxrd.summarize {sweeps[0]} {sweeps[1]} --to {to} --no-images")
    assert summary_of(tmp_path / "x")["rebuild"].endswith(f"btxrd.summarize {tmp_path / 'x'}")


def test_a_class_that_cannot_be_painted_leaves_the_question_open(tmp_path, capsys):
    write_run(tmp_path, "run")
    path = tmp_path / "run" / "metrics.json"
    metrics = json.loads(path.read_text())
    nothing = {"value": None, "low": None, "high": None}
    for way in metrics["shortcuts"].values():
        way |= {"macro_auc": nothing, "difference": nothing}
    path.write_text(json.dumps(metrics))
    summary_of(tmp_path)
    assert re.search(r"use what is not the lesion\? +not known", capsys.readouterr().out)


def test_too_few_groups_are_not_tested(tmp_path):
    write_run(tmp_path, "one", backbone="one", cases=(40, 9))
    write_run(tmp_path, "other", backbone="other", cases=(40, 9), noise=1)
    (row,) = summary_of(tmp_path)["comparisons"]
    assert row["macro_auc"]["p"] is row["macro_auc"]["p_holm"] is None


def test_a_class_that_is_absent_from_test_leaves_gaps_and_no_crash(tmp_path):
    for seed in (0, 1):
        for name in ("one", "other"):
            write_run(tmp_path, f"backbone={name},seed={seed}", backbone=name, seed=seed,
                      noise=seed, cases=(40, 2))  # fmt: skip
    summary = summary_of(tmp_path)
    (row,) = summary["comparisons"]
    assert row["macro_auc"]["value"] is row["macro_auc"]["p"] is None
    assert not row["macro_auc"]["apart"]
    assert summary["settings"][0]["macro_auc"]["sd"] is None


def test_the_same_run_in_two_sweeps_counts_once(tmp_path):
    for sweep in ("x", "y"):
        write_run(tmp_path / sweep, "run")
    summarize([tmp_path / "x", tmp_path / "y"], tmp_path / "both")
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert [row["seeds"] for row in summary["settings"]] == [[4]]


def far_and_near(tmp_path, **far):
    write_run(tmp_path, "split=stratified", skill=(0.5, 0.6))
    write_run(tmp_path, "split=center", split="center", **far)
    return summary_of(tmp_path)["generalisation_gap"]


def test_the_gap_is_between_settings_that_are_equal_otherwise(tmp_path):
    (row,) = far_and_near(tmp_path, skill=(0.5, 0.1), noise=3, cases=(40, 90))
    near, far = (read_test(tmp_path / f"split={name}") for name in ("stratified", "center"))
    found = row["macro_auc"]
    assert found["gap"]["value"] == pytest.approx(area(*near) - area(*far))
    assert found["gap"]["low"] < found["gap"]["value"] < found["gap"]["high"]
    assert (found["seen"], found["unseen"]) == pytest.approx((area(*near), area(*far)))
    accuracy = row["accuracy"]["gap"]["value"]
    hits = [accuracy_score(labels, probs.argmax(1)) for labels, probs in (near, far)]
    assert accuracy == pytest.approx(hits[0] - hits[1])


def test_another_backbone_makes_no_gap(tmp_path):
    assert far_and_near(tmp_path, backbone="other") == []


def test_a_gap_is_split_into_image_and_prior(tmp_path):
    (row,) = far_and_near(tmp_path, skill=(0.5, 0.3), noise=3)
    run = tmp_path / "split=center"
    table = pd.read_csv(run / "predictions.csv")
    rare = (table["label"] == "malignant") & (np.arange(len(table)) % 2 == 0)
    for name in ("predictions.csv", "split.csv"):  # the mix of classes changes
        pd.read_csv(run / name)[~rare].to_csv(run / name, index=False)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["test"]["n"] = int((table[~rare]["partition"] == "test").sum())
    (run / "metrics.json").write_text(json.dumps(metrics))
    benches = benches_of(settings_of(read_runs(tmp_path)))
    (row,) = generalisation_gap(benches)
    near, far = (read_test(tmp_path / f"split={name}") for name in ("stratified", "center"))
    even = [balanced_accuracy_score(labels, probs.argmax(1)) for labels, probs in (near, far)]
    found = row["accuracy"]
    assert found["image"]["value"] == pytest.approx(even[0] - even[1])
    assert found["prior"]["value"] == pytest.approx(found["gap"]["value"] - (even[0] - even[1]))


def test_figures_over_seeds_are_means_and_null_where_one_is():
    one = {"value": 0.2, "low": None, "n": 4, "cells": [[1, 2], [3, 4]], "only": 1}
    other = {"value": 0.4, "low": 0.1, "n": 4, "cells": [[3, 2], [3, 8]]}
    assert merged([one, other]) == {
        "value": pytest.approx(0.3), "low": None, "n": 4, "cells": [[2, 2], [3, 6]]
    }  # fmt: skip
    assert merged([one, None]) is None
