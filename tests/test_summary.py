"""The summary of a sweep: its rows, and how winners are selected."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sweeps import (
    NAMES,
    TEST,
    edit_metrics,
    edit_val,
    rows_of,
    summary_of,
    text_of,
    write_history,
    write_run,
)

from btxrd.artifacts.metrics import read_metrics
from btxrd.artifacts.plan import SweepPlan, write_plan
from btxrd.artifacts.status import RunError
from btxrd.config.schema import PhantomConfig
from btxrd.errors import InputError
from btxrd.html.publish import summarize
from btxrd.report.comparison_sets import comparison_sets
from btxrd.report.runs import read_runs, short_names
from btxrd.report.settings import merged, settings_of
from btxrd.report.winners import assess, select_winners
from btxrd.runtime.files import lock

LEADING = ("run", "state", "experiment", "model", "split", "annotations", "seed", "n_test")


def winners_of(sweep_dir):
    return select_winners(assess(comparison_sets(settings_of(read_runs(sweep_dir)))))[0]


@pytest.fixture
def sweep(tmp_path):
    write_plan(tmp_path, SweepPlan(("a", "b", "far", "broken", "never")))
    write_run(tmp_path, "a", skill=(0.30, 0.9))
    write_run(tmp_path, "b", skill=(0.45, 0.1), backbone="b")
    write_run(tmp_path, "far", split="center", skill=(0.3, 0.3))
    error = RunError("InputError", "films/a.jpeg: is broken\nmore", "...")
    write_run(tmp_path, "broken", state="failed", error=error)
    return tmp_path


def test_every_run_has_a_row_also_a_failed_or_missing_one(sweep):
    rows = rows_of(sweep)
    assert list(rows) == ["a", "b", "far", "broken", "never"]
    assert tuple(rows["a"])[:8] == LEADING
    assert [row["state"] for row in rows.values()] == ["complete"] * 3 + ["failed", "missing"]
    assert rows["broken"]["error"] == "InputError: films/a.jpeg: is broken"
    assert rows["never"]["error"] == "never started"


def test_row_has_the_test_metrics_of_its_run(sweep):
    """Detects val metrics, or those of another run, in summary.csv."""
    row, found = rows_of(sweep)["a"], read_metrics(sweep / "a").test
    for name, estimate in found.values.items():
        cells = [float(row[name + ending]) for ending in ("", "_low", "_high")]
        assert cells == pytest.approx([estimate.value, estimate.low, estimate.high])
    assert [row[name] for name in LEADING[2:]] == [
        "E9", "resnet50_cbam", "stratified", "none", "4", str(TEST)
    ]  # fmt: skip


def test_summary_is_complete_only_if_all_runs_are(sweep, tmp_path):
    assert not summarize([sweep], sweep)
    write_plan(tmp_path / "other", SweepPlan(("a",)))
    write_run(tmp_path / "other", "a")
    assert summarize([tmp_path / "other"], tmp_path / "other")


def test_winner_is_selected_on_val_for_each_split(sweep):
    winners = {winner.split: winner.run for winner in winners_of(sweep)}
    assert winners == {"stratified": "b", "center": "far"}  # a is far better on test


def test_winner_does_not_change_with_any_test_metric(sweep):
    before = winners_of(sweep)
    metrics = read_metrics(sweep / "a")
    better = {name: replace(estimate, value=1.0) for name, estimate in metrics.test.values.items()}
    edit_metrics(sweep / "a", test=replace(metrics.test, values=better))
    assert winners_of(sweep) == before


def test_val_sensitivity_decides_between_equal_areas(sweep):
    """Detects the sensitivity on test, where a is better, and the first of two settings."""
    for name, sensitivity in (("a", 0.2), ("b", 0.9)):
        edit_val(sweep / name, 0.8, sensitivity)
    assert winners_of(sweep)[0].run == "b"


def test_first_of_equal_settings_wins(sweep):
    for name in ("a", "b"):
        edit_val(sweep / name, 0.8, 0.5)
    assert winners_of(sweep)[0].run == "a"


def test_setting_is_selected_by_the_mean_over_seeds_and_its_best_seed_is_named(tmp_path):
    """Detects a selection by the best seed, by the first one, and a best seed on test."""
    areas = {"one": (0.6, 0.2, 0.95), "other": (0.65, 0.6, 0.64)}
    for name, found in areas.items():
        for seed, area in enumerate(found):
            run = f"backbone={name},seed={seed}"
            run_dir = write_run(tmp_path, run, backbone=name, seed=seed,
                                skill=(0.5, 0.1 + 0.2 * seed), noise=seed)  # fmt: skip
            edit_val(run_dir, area, 0.5)
    (winner,) = winners_of(tmp_path)
    assert (winner.setting, winner.run) == ("backbone=other", "backbone=other,seed=0")
    assert winner.val_macro_auc == pytest.approx(0.63)


def test_setting_without_a_val_metric_is_named_and_does_not_win(tmp_path):
    """Detects a setting that is ranked by the seeds that have a val metric."""
    for seed, area in ((0, 0.99), (1, None)):
        run_dir = write_run(tmp_path, f"backbone=a,seed={seed}", backbone="a", seed=seed)
        edit_val(run_dir, area, 0.9)
    write_run(tmp_path, "backbone=b,seed=0", backbone="b", skill=(0.1, 0.1))
    (winner,) = winners_of(tmp_path)
    assert (winner.setting, winner.of, winner.unranked) == ("backbone=b", 1, ("backbone=a",))


def test_no_winner_is_selected_if_val_is_test(tmp_path):
    write_run(tmp_path, "same", split="random")
    assert winners_of(tmp_path) == []


def change_split_hash(run_dir):
    path = run_dir / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_hash": "another"}))


def test_winners_are_of_one_assignment_of_cases_each(tmp_path):
    """Detects a winner by the title of the split instead of its hash."""
    write_run(tmp_path, "a", backbone="a")
    change_split_hash(write_run(tmp_path, "b", backbone="b"))
    assert [winner.run for winner in winners_of(tmp_path)] == ["a", "b"]


def test_seeds_of_a_setting_have_one_assignment_of_cases(tmp_path):
    """Detects a mean over runs whose cases were assigned differently."""
    write_run(tmp_path, "a,seed=0", seed=0)
    change_split_hash(write_run(tmp_path, "b,seed=1", seed=1))
    assert [row["seeds"] for row in summary_of(tmp_path)["settings"]] == [[0], [1]]


def test_sweep_without_a_complete_run_has_a_summary_too(tmp_path):
    write_plan(tmp_path, SweepPlan(("a",)))
    assert not summarize([tmp_path], tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["winners"] == []


def test_folder_without_runs_is_refused_and_left_alone(tmp_path):
    with pytest.raises(InputError, match="contains no run and no plan"):
        summarize([tmp_path], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_table_has_the_title_of_the_split(tmp_path):
    write_run(tmp_path, "same", split="random")
    write_run(tmp_path, "split", groups="none")
    write_run(tmp_path, "whole")
    shown = {"random (val is test)", "stratified (groups=none)", "stratified"}
    assert {row["split"] for row in rows_of(tmp_path).values()} == shown


def test_runs_that_differ_in_the_seed_are_one_setting(tmp_path):
    for seed, skill in ((0, 0.2), (1, 0.4), (2, 0.9)):
        write_run(tmp_path, f"a{seed}", seed=seed, skill=(0.5, skill), noise=seed)
    write_run(tmp_path, "alone", split="center")
    row, alone = summary_of(tmp_path)["settings"]
    assert (row["seeds"], row["split"], row["experiment"]) == ([0, 1, 2], "stratified", "E9")
    rows = [found for name, found in rows_of(tmp_path).items() if name != "alone"]
    values = [float(found["accuracy"]) for found in rows]
    assert row["accuracy"]["value"] == pytest.approx(np.mean(values))
    assert row["accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert alone["accuracy"]["sd"] is None
    for ending, end in (("", "value"), ("_low", "low"), ("_high", "high")):
        mean = np.mean([float(found[f"macro_f1{ending}"]) for found in rows])
        assert row["macro_f1"][end] == pytest.approx(mean)
    shown = f"seeds 0, 1, 2: accuracy {np.mean(values):.3f} +- {np.std(values, ddof=1):.3f}"
    assert shown in text_of(tmp_path)


@pytest.mark.parametrize("training", [{"lr": 0.01}, {"epochs": 9}])
def test_runs_that_differ_otherwise_are_settings_of_their_own(tmp_path, training):
    write_run(tmp_path, "a,seed=0", seed=0)
    write_run(tmp_path, "b,seed=1", seed=1, **training)
    assert len(summary_of(tmp_path)["settings"]) == 2


def test_metrics_over_seeds_are_means_or_null_if_one_is_null():
    one = {"value": 0.2, "low": None, "n": 4, "cells": [[1, 2], [3, 4]], "only": 1}
    other = {"value": 0.4, "low": 0.1, "n": 4, "cells": [[3, 2], [3, 8]]}
    assert merged([one, other]) == {
        "value": pytest.approx(0.3), "low": None, "n": 4, "cells": [[2, 2], [3, 6]]
    }  # fmt: skip
    assert merged([one, None]) is None


def test_ensemble_has_the_metrics_of_the_mean_probabilities(tmp_path):
    for seed in (0, 1, 2):
        write_run(tmp_path, f"seed={seed}", seed=seed, skill=(0.2, 0.2), noise=seed)
    (row,) = summary_of(tmp_path)["settings"]
    tables = [
        pd.read_csv(tmp_path / f"seed={seed}" / "predictions.csv").query("partition == 'test'")
        for seed in (0, 1, 2)
    ]
    columns = [f"prob_{name}" for name in NAMES.names]
    probs = np.mean([table[columns].to_numpy() for table in tables], axis=0)
    labels = tables[0]["label"].map({name: i for i, name in enumerate(NAMES.names)})
    expected = roc_auc_score(labels, probs / probs.sum(1, keepdims=True), multi_class="ovr")
    assert row["ensemble"]["macro_auc"]["value"] == pytest.approx(expected)
    assert row["ensemble"]["macro_auc"]["value"] > row["macro_auc"]["value"]


def test_ensemble_is_resampled_by_groups(tmp_path):
    rows = {}
    for copies in (1, 3):
        for seed in (0, 1):
            write_run(tmp_path / str(copies), f"seed={seed}", seed=seed, skill=(0.2, 0.2),
                      noise=seed, copies=copies)  # fmt: skip
        (row,) = summary_of(tmp_path / str(copies))["settings"]
        rows[copies] = row["ensemble"]["accuracy"]
    assert rows[3] == pytest.approx(rows[1])


def start_run(sweep_dir, name, epochs):
    """A run that has done some epochs, of 30 seconds each."""
    write_run(sweep_dir, name, state="running")
    write_history(sweep_dir / name, epochs, seconds=30.0)


def test_running_sweep_shows_epochs_done_and_time_left(tmp_path, capsys):
    write_plan(tmp_path, SweepPlan(("done", "going", "to come"), at_once=2))
    write_run(tmp_path, "done")
    start_run(tmp_path, "going", epochs=4)
    with lock(tmp_path / "going" / ".lock"):
        assert not summarize([tmp_path], tmp_path)
    printed = capsys.readouterr().out
    assert "running      epoch 4 of 10, at most 3 min left" in printed
    # 6 epochs of 30 s, and a run of 12.5 s, two at a time: 96 s
    assert "3 runs: 1 complete, 1 missing, 1 running; about 2 min left" in printed
    with (tmp_path / "summary.csv").open(newline="") as file:
        row = {found["run"]: found for found in csv.DictReader(file)}["going"]
    assert (row["epochs"], row["of_epochs"], row["seconds_left"]) == ("4", "10", "180.0")


def test_run_without_a_process_is_recorded_as_interrupted(tmp_path):
    start_run(tmp_path, "cut", epochs=1)
    row = rows_of(tmp_path)["cut"]
    assert row["state"] == "interrupted"
    assert row["error"] == "Killed: process 7 on here ended without recording why"
    status = json.loads((tmp_path / "cut" / "status.json").read_text())
    assert status["state"] == "interrupted"


def test_refused_folder_is_neither_selected_nor_compared(tmp_path, capsys):
    write_run(tmp_path, "best", skill=(0.9, 0.9), backbone="b")
    write_run(tmp_path, "good", skill=(0.3, 0.3))
    refused = {"best": "contains a complete run of another config"}
    write_plan(tmp_path, SweepPlan(("best", "good"), refused))
    assert not summarize([tmp_path], tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [winner["run"] for winner in summary["winners"]] == ["good"]
    assert [row["runs"] for row in summary["settings"]] == [["good"]]
    assert summary["comparisons"] == []
    rows = {row["run"]: row for row in summary["runs"]}
    assert rows["best"]["state"] == "complete"
    assert rows["best"]["error"] == "refused: contains a complete run of another config"
    assert "left untouched" in capsys.readouterr().out


def test_several_sweeps_make_one_summary(tmp_path):
    for sweep, backbone in (("x", "one"), ("y", "other")):
        write_run(tmp_path / sweep, "run", backbone=backbone, noise=len(backbone))
    summarize([tmp_path / "x", tmp_path / "y"], tmp_path / "both")
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert [row["run"] for row in summary["runs"]] == ["x/run", "y/run"]
    assert len(summary["comparisons"]) == 1
    assert "../x/run" in (tmp_path / "both" / "report.html").read_text()


def test_sweeps_of_one_name_are_distinguished_by_their_paths(tmp_path):
    sweeps = [tmp_path / parent / "out" for parent in ("x", "y")]
    for sweep, backbone in zip(sweeps, ("one", "other"), strict=True):
        write_run(sweep, "run", backbone=backbone)
    summarize(sweeps, tmp_path / "both")
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert [row["run"] for row in summary["runs"]] == [f"{sweep}/run" for sweep in sweeps]


def test_same_run_in_two_sweeps_counts_once(tmp_path):
    for sweep in ("x", "y"):
        write_run(tmp_path / sweep, "run")
    summarize([tmp_path / "x", tmp_path / "y"], tmp_path / "both")
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert [row["runs"] for row in summary["settings"]] == [["x/run"]]


def test_command_in_the_summary_writes_the_same_summary(tmp_path):
    for sweep in ("x", "y"):
        write_run(tmp_path / sweep, "run", backbone=sweep)
    sweeps, to = [tmp_path / "x", tmp_path / "y"], tmp_path / "both"
    summarize(sweeps, to, images=False)
    command = json.loads((to / "summary.json").read_text())["rebuild"]
    assert command == f"btxrd summarize {sweeps[0]} {sweeps[1]} --to {to} --no-images"
    summarize(sweeps[:1], sweeps[0])
    command = json.loads((sweeps[0] / "summary.json").read_text())["rebuild"]
    assert command == f"btxrd summarize {sweeps[0]}"


@pytest.mark.parametrize(
    ("names", "common", "short"),
    [
        (["a=1,b=2", "a=1,b=3"], "a=1", ["b=2", "b=3"]),
        (["a=1,b=2"], "", ["a=1,b=2"]),
        (["a=1", "a=1,b=3"], "", ["a=1", "a=1,b=3"]),  # nothing would be left of one
        (["x", "y"], "", ["x", "y"]),
    ],
)
def test_parts_that_all_runs_share_are_removed_from_their_names(names, common, short):
    assert short_names(names) == (common, short)


def test_margin_is_the_largest_of_the_plans_unless_it_is_given(tmp_path):
    for sweep, margin in (("x", 0.03), ("y", 0.01)):
        write_run(tmp_path / sweep, "run", backbone=sweep)
        write_plan(tmp_path / sweep, SweepPlan(("run",), margin=margin))
    sweeps, to = [tmp_path / "x", tmp_path / "y"], tmp_path / "both"
    summarize(sweeps, to)
    assert json.loads((to / "summary.json").read_text())["margin"] == 0.03
    summarize(sweeps, to, margin=0.2)
    summary = json.loads((to / "summary.json").read_text())
    assert (summary["margin"], summary["rebuild"][-12:]) == (0.2, "--margin 0.2")


def test_margin_of_an_old_plan_is_the_default(tmp_path):
    write_run(tmp_path, "run")
    assert summary_of(tmp_path)["margin"] == 0.02


def test_synthetic_data_are_named_before_anything_else(tmp_path):
    write_run(tmp_path, "drawn", phantom=PhantomConfig(cases=240))
    rows_of(tmp_path)
    text = (tmp_path / "summary.json").read_text()
    assert list(json.loads(text))[:3] == ["format", "btxrd", "synthetic"]
    assert json.loads(text)["synthetic"] == (
        "Synthetic data: 240 drawn radiographs, not patients. These results say nothing about "
        "BTXRD or about any clinic."
    )
    write_run(tmp_path, "real", backbone="other")
    assert summary_of(tmp_path)["synthetic"].startswith("Synthetic data in 1 of 2 runs: 240 drawn")


def test_real_data_are_not_marked_as_synthetic(tmp_path):
    write_run(tmp_path, "real")
    assert summary_of(tmp_path)["synthetic"] is None
