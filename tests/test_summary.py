"""Summaries of sweeps that are written by hand."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from btxrd.errors import InputError
from btxrd.evaluation.resampling import scores
from btxrd.sweep.plan import write_plan
from btxrd.sweep.summary import COLUMNS, read_runs, select_winners, summarize
from btxrd.vocabulary import CLASSES

VAL, TEST = 40, 60


def write_run(
    sweep_dir,
    name,
    *,
    split="stratified",
    groups="whole",
    skill=(0.5, 0.5),
    state="complete",
    error=None,
):
    """Write the files of a run; `skill` in [0, 1] is that on val and on test."""
    run_dir = sweep_dir / name
    run_dir.mkdir(parents=True)
    config = {
        "model": {"backbone": "resnet50", "attn_layer": "cbam"},
        "split": {"strategy": split, "groups": groups},
        "annotations": {"kind": "none"},
        "seed": 4,
        "evaluate": True,
        "choices": {"experiment": "E9"},
    }
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    status = {"state": state, "seconds": 12.5, "error": error, "started": "today"}
    status["split_hash"] = f"{split}-{groups}"
    (run_dir / "status.json").write_text(json.dumps(status))
    if state != "complete":
        return
    rng = np.random.default_rng(0)
    tables, metrics = [], {}
    for partition, n, power in zip(("val", "test"), (VAL, TEST), skill, strict=True):
        labels = np.arange(n) % 3
        probs = rng.dirichlet((1, 1, 1), n) * (1 - power) + np.eye(3)[labels] * power
        names = [f"{partition}{index}" for index in range(n)]
        metrics[partition] = scores(labels, probs, np.array(names), np.ones(n, int))
        table = pd.DataFrame(probs, columns=[f"prob_{name}" for name in CLASSES])
        table = table.assign(image_id=names, partition=partition)
        tables.append(table.assign(label=[CLASSES[label] for label in labels]))
    predictions = pd.concat(tables)
    predictions.to_csv(run_dir / "predictions.csv", index=False)
    predictions.assign(group=predictions["image_id"]).to_csv(run_dir / "split.csv", index=False)
    (run_dir / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def sweep(tmp_path):
    write_plan(tmp_path, ["a", "b", "far", "broken", "never"])
    write_run(tmp_path, "a", skill=(0.30, 0.9))
    write_run(tmp_path, "b", skill=(0.45, 0.1))
    write_run(tmp_path, "far", split="center", skill=(0.3, 0.3))
    error = {"type": "InputError", "message": "films/a.jpeg: is broken\nmore", "traceback": "..."}
    write_run(tmp_path, "broken", state="failed", error=error)
    return tmp_path


def read_rows(sweep_dir):
    with (sweep_dir / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_run_has_a_row_the_failed_and_the_missing_too(sweep):
    assert not summarize(sweep)
    rows = {row["run"]: row for row in read_rows(sweep)}
    assert list(rows) == ["a", "b", "far", "broken", "never"]
    assert tuple(rows["a"]) == COLUMNS
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
    winners = {row["split"]: row["run"] for row in select_winners(read_runs(sweep))}
    assert winners == {"stratified": "b", "center": "far"}  # a is far better on test


def test_winner_does_not_change_with_any_test_figure(sweep):
    path = sweep / "a" / "metrics.json"
    before = select_winners(read_runs(sweep))
    metrics = json.loads(path.read_text())
    metrics["test"] = json.loads(json.dumps(metrics["test"]).replace('"value": 0', '"value": 1'))
    path.write_text(json.dumps(metrics))
    assert select_winners(read_runs(sweep)) == before


def test_sensitivity_decides_between_equal_areas(sweep):
    for name, sensitivity in (("a", 0.9), ("b", 0.2)):
        path = sweep / name / "metrics.json"
        metrics = json.loads(path.read_text())
        metrics["val"]["macro_auc"]["value"] = 0.8
        metrics["val"]["per_class"]["malignant"]["sensitivity"]["value"] = sensitivity
        path.write_text(json.dumps(metrics))
    assert select_winners(read_runs(sweep))[0]["run"] == "a"


def test_winner_is_compared_with_runs_on_its_own_split_only(sweep):
    summarize(sweep)
    summary = json.loads((sweep / "summary.json").read_text())
    (row,) = summary["comparisons"]
    assert (row["one"], row["other"], row["figure"]) == ("b", "a", "macro_auc")
    assert row["high"] < 0
    gaps = [(row["stratified"], row["center"]) for row in summary["generalisation_gap"]]
    assert gaps == [("a", "far"), ("b", "far")]
    assert "val macro AUC" in summary["selection_rule"]


def test_report_names_runs_winners_and_failures(sweep):
    summarize(sweep)
    page = (sweep / "report.html").read_text()
    for text in ("<b>stratified</b>: b", "InputError: films/a.jpeg: is broken", "never started"):
        assert text in page
    assert "http" not in page


def test_sweep_without_a_complete_run_has_a_summary_too(tmp_path):
    write_plan(tmp_path, ["a"])
    assert not summarize(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["winners"] == []


def test_gap_is_between_runs_that_are_equal_otherwise(sweep):
    path = sweep / "far" / "config.yaml"
    path.write_text(path.read_text().replace("seed: 4", "seed: 5"))
    summarize(sweep)
    assert json.loads((sweep / "summary.json").read_text())["generalisation_gap"] == []


def test_folder_without_runs_is_refused_and_left_alone(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        summarize(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_complete_sweep_says_so(tmp_path, capsys):
    write_plan(tmp_path, ["a"])
    write_run(tmp_path, "a")
    assert summarize(tmp_path)
    assert "stratified: a (val macro AUC" in capsys.readouterr().out


def test_what_a_reader_must_know_of_a_split_stands_in_every_table(tmp_path):
    write_run(tmp_path, "same", split="random")
    write_run(tmp_path, "parted", groups="none")
    write_run(tmp_path, "whole")
    summarize(tmp_path)
    shown = {"random (val is test)", "stratified (groups=none)", "stratified"}
    assert {row["split"] for row in read_rows(tmp_path)} == shown
    page = (tmp_path / "report.html").read_text()
    assert all(f"<td>{title}</td>" in page for title in shown)


def test_no_winner_is_picked_where_val_is_test(tmp_path):
    write_run(tmp_path, "same", split="random")
    assert select_winners(read_runs(tmp_path)) == []
