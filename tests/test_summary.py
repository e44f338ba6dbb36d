"""Summaries of sweeps that are written by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sweeps import NAMES, TEST, edit_val, read_rows, summary_of, write_history, write_run

from btxrd.artifacts.plan import SweepPlan, write_plan
from btxrd.artifacts.status import RunError
from btxrd.errors import InputError
from btxrd.report.runs import read_runs, short_names
from btxrd.report.settings import settings_of
from btxrd.report.summary import select_winners, summarize
from btxrd.runtime.files import lock

LEADING = ("run", "state", "experiment", "model", "split", "annotations", "seed", "n_test")


def winners_of(sweep_dir):
    return select_winners(settings_of(read_runs(sweep_dir)))


@pytest.fixture
def sweep(tmp_path):
    write_plan(tmp_path, SweepPlan(("a", "b", "far", "broken", "never")))
    write_run(tmp_path, "a", skill=(0.30, 0.9))
    write_run(tmp_path, "b", skill=(0.45, 0.1), backbone="b")
    write_run(tmp_path, "far", split="center", skill=(0.3, 0.3))
    error = RunError("InputError", "films/a.jpeg: is broken\nmore", "...")
    write_run(tmp_path, "broken", state="failed", error=error)
    return tmp_path


def test_every_run_has_a_row_the_failed_and_the_missing_too(sweep):
    assert not summarize([sweep], sweep)
    rows = {row["run"]: row for row in read_rows(sweep)}
    assert list(rows) == ["a", "b", "far", "broken", "never"]
    assert list(rows["a"])[:8] == list(LEADING)
    assert [row["state"] for row in rows.values()] == ["complete"] * 3 + ["failed", "missing"]
    assert rows["broken"]["error"] == "InputError: films/a.jpeg: is broken"
    assert rows["never"]["error"] == "never started"
    metrics = json.loads((sweep / "a" / "metrics.json").read_text())["test"]
    assert float(rows["a"]["macro_auc"]) == pytest.approx(metrics["macro_auc"]["value"])
    assert float(rows["a"]["ece_high"]) == pytest.approx(metrics["ece"]["high"])
    identity = ("experiment", "model", "split", "annotations", "seed", "n_test")
    assert [rows["a"][name] for name in identity] == [
        "E9", "resnet50_cbam", "stratified", "none", "4", str(TEST)
    ]  # fmt: skip


def test_winner_is_picked_on_val_and_for_each_split(sweep):
    winners = {winner.split: winner.run for winner in winners_of(sweep)}
    assert winners == {"stratified": "b", "center": "far"}  # a is far better on test


def test_winner_does_not_change_with_any_test_figure(sweep):
    path = sweep / "a" / "metrics.json"
    before = winners_of(sweep)
    metrics = json.loads(path.read_text())
    metrics["test"] = json.loads(json.dumps(metrics["test"]).replace('"value": 0', '"value": 1'))
    path.write_text(json.dumps(metrics))
    assert winners_of(sweep) == before


def test_sensitivity_decides_between_equal_areas(sweep):
    for name, sensitivity in (("a", 0.9), ("b", 0.2)):
        edit_val(sweep / name, 0.8, sensitivity)
    assert winners_of(sweep)[0].run == "a"


def test_sweep_without_a_complete_run_has_a_summary_too(tmp_path):
    write_plan(tmp_path, SweepPlan(("a",)))
    assert not summarize([tmp_path], tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["winners"] == []


def test_folder_without_runs_is_refused_and_left_alone(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        summarize([tmp_path], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_complete_sweep_says_so(tmp_path, capsys):
    write_plan(tmp_path, SweepPlan(("a",)))
    write_run(tmp_path, "a")
    assert summarize([tmp_path], tmp_path)
    assert "Which setting is the winner?" in capsys.readouterr().out


def test_what_a_reader_must_know_of_a_split_stands_in_every_table(tmp_path):
    write_run(tmp_path, "same", split="random")
    write_run(tmp_path, "parted", groups="none")
    write_run(tmp_path, "whole")
    summarize([tmp_path], tmp_path)
    shown = {"random (val is test)", "stratified (groups=none)", "stratified"}
    assert {row["split"] for row in read_rows(tmp_path)} == shown


def test_no_winner_is_picked_where_val_is_test(tmp_path):
    write_run(tmp_path, "same", split="random")
    assert winners_of(tmp_path) == []


def test_runs_that_differ_in_the_seed_are_one_setting(tmp_path, capsys):
    for seed, skill in ((0, 0.2), (1, 0.4), (2, 0.9)):
        write_run(tmp_path, f"a{seed}", seed=seed, skill=(0.5, skill), noise=seed)
    write_run(tmp_path, "alone", split="center")
    row, alone = summary_of(tmp_path)["settings"]
    assert (row["seeds"], row["split"], row["experiment"]) == ([0, 1, 2], "stratified", "E9")
    values = [float(found["accuracy"]) for found in read_rows(tmp_path) if found["run"] != "alone"]
    assert row["accuracy"]["value"] == pytest.approx(np.mean(values))
    assert row["accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert alone["accuracy"]["sd"] is None
    shown = f"seeds 0, 1, 2: accuracy {np.mean(values):.3f} +- {np.std(values, ddof=1):.3f}"
    assert shown in capsys.readouterr().out


def start_run(sweep_dir, name, epochs):
    """A run that has done some epochs, of 30 seconds each."""
    write_run(sweep_dir, name, state="running")
    write_history(sweep_dir / name, epochs, seconds=30.0)


def test_seeds_averaged_into_one_model_have_figures_of_their_own(tmp_path):
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
    assert "Seed ensemble" in (tmp_path / "report.html").read_text()


def test_a_sweep_that_runs_shows_epochs_done_and_time_left(tmp_path, capsys):
    write_plan(tmp_path, SweepPlan(("done", "going", "to come"), at_once=2))
    write_run(tmp_path, "done")
    start_run(tmp_path, "going", epochs=4)
    with lock(tmp_path / "going" / ".lock"):
        assert not summarize([tmp_path], tmp_path)
    printed = capsys.readouterr().out
    assert "running      epoch 4 of 10, at most 3 min left" in printed
    # 6 epochs of 30 s, and a run of 12.5 s, two at a time: 96 s
    assert "3 runs: 1 complete, 1 missing, 1 running; about 2 min left" in printed
    row = {row["run"]: row for row in read_rows(tmp_path)}["going"]
    assert (row["epochs"], row["of_epochs"], row["seconds_left"]) == ("4", "10", "180.0")


def test_a_run_that_no_process_holds_is_set_down_as_interrupted(tmp_path):
    start_run(tmp_path, "cut", epochs=1)
    summarize([tmp_path], tmp_path)
    (row,) = read_rows(tmp_path)
    assert row["state"] == "interrupted"
    assert row["error"] == "Killed: process 7 on here ended without recording why"
    status = json.loads((tmp_path / "cut" / "status.json").read_text())
    assert status["state"] == "interrupted"


def test_a_refused_folder_is_no_winner_and_makes_the_sweep_incomplete(tmp_path, capsys):
    write_run(tmp_path, "best", skill=(0.9, 0.9), backbone="b")
    write_run(tmp_path, "good", skill=(0.3, 0.3))
    refused = {"best": "holds a complete run of another config"}
    write_plan(tmp_path, SweepPlan(("best", "good"), refused))
    assert not summarize([tmp_path], tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [winner["run"] for winner in summary["winners"]] == ["good"]
    rows = {row["run"]: row for row in read_rows(tmp_path)}
    assert rows["best"]["state"] == "complete"
    assert rows["best"]["error"] == "refused: holds a complete run of another config"
    assert "left untouched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "common", "short"),
    [
        (["a=1,b=2", "a=1,b=3"], "a=1", ["b=2", "b=3"]),
        (["a=1,b=2"], "", ["a=1,b=2"]),
        (["a=1", "a=1,b=3"], "", ["a=1", "a=1,b=3"]),  # nothing would be left of one
        (["x", "y"], "", ["x", "y"]),
    ],
)
def test_what_all_runs_share_is_left_out_of_their_names(names, common, short):
    assert short_names(names) == (common, short)
