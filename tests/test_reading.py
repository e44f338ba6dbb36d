"""A summary reads old sweeps, sweeps with a damaged file, and runs without a new metric."""

import json
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image
from sweeps import edit_metrics, rows_of, summary_of, text_of, write_run

from btxrd.artifacts.metrics import read_metrics
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.evaluation import metrics
from btxrd.evaluation.metrics import Metric
from btxrd.html.publish import summarize
from btxrd.score import score_run

OLD_SWEEP = Path(__file__).parent / "fixtures" / "format-1"
RENAMED = {
    "looks": "gradcam",
    "together": "ensemble",
    "apart": "significant",
    "image": "class_balanced_gap",
    "prior": "prior_shift",
    "whole_film": "unmodified",
    "lesion_painted_out": "lesion_masked",
    "all_but_lesion_painted_out": "all_but_lesion_masked",
    "border_painted_out": "border_masked",
}


@pytest.fixture
def old_sweep(tmp_path):
    return Path(shutil.copytree(OLD_SWEEP, tmp_path / "old"))


def differing(old, new, key=""):
    """Keys at which an old summary differs from a new one, under the present names."""
    if isinstance(old, dict):
        for name, value in old.items():
            present = RENAMED.get(name, name.replace("malignant_called_", "malignant_predicted_"))
            yield from differing(value, new[present], f"{key}.{present}")
    elif isinstance(old, list):
        assert len(old) == len(new), key
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differing(one, other, f"{key}.{place}")
    elif isinstance(old, float) and isinstance(new, int | float):
        if not math.isclose(old, new, rel_tol=1e-12):
            yield key
    elif old != new:
        yield key


def test_sweep_of_format_1_has_the_summary_that_it_was_written_with(old_sweep):
    before = json.loads((old_sweep / "summary.json").read_text())
    summarize([old_sweep], old_sweep)
    after = json.loads((old_sweep / "summary.json").read_text())
    assert after["format"] == 3
    del before["winners"]  # its only setting predicts one class, and is selected no more
    assert [one["reason"] for one in after["unselected"]] == ["constant"]
    assert set(differing(before, after)) <= {".rebuild", ".selection_rule"}


def test_runs_of_format_1_are_listed_and_not_damaged(old_sweep):
    assert [row["state"] for row in rows_of(old_sweep).values()] == ["complete", "failed"]
    assert "model.gradcam_layer=nonesuch" in text_of(old_sweep)


def test_a_run_of_format_2_is_read_and_scored_without_hashes(tmp_path, monkeypatch):
    monkeypatch.setattr("btxrd.evaluation.score.draw_plots", lambda *args: None)
    sweep = Path(shutil.copytree(OLD_SWEEP.parent / "format-2", tmp_path / "old"))
    before = (sweep / "seed=0" / "status.json").read_bytes()
    assert score_run(sweep / "seed=0")[0]
    assert rows_of(sweep)["seed=0"]["state"] == "complete"
    assert (sweep / "seed=0" / "status.json").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["status.json", "config.yaml", "metrics.json", "history.csv", "split.csv",
             "predictions.csv"],
)  # fmt: skip
def test_run_with_a_damaged_file_is_named_and_the_others_are_summarised(tmp_path, name):
    write_run(tmp_path, "whole", backbone="one")
    run_dir = write_run(tmp_path, "damaged", backbone="two")
    (run_dir / name).write_text("{")
    summary = summary_of(tmp_path)
    rows = {row["run"]: row for row in summary["runs"]}
    assert (rows["whole"]["state"], rows["damaged"]["state"]) == ("complete", "damaged")
    assert rows["damaged"]["error"].startswith(f"{run_dir / name}: ")
    assert [winner["run"] for winner in summary["winners"]] == ["whole"]


def test_run_whose_files_have_different_cases_is_damaged(tmp_path):
    """Detects a summary of predictions that are not of the split."""
    run_dir = write_run(tmp_path, "run")
    path = run_dir / "split.csv"
    path.write_text(path.read_text().replace("stratified-test7,", "another,"))
    (row,) = summary_of(tmp_path)["runs"]
    assert f"{run_dir / 'predictions.csv'}: is damaged (its cases are not" in row["error"]


def test_run_with_a_probability_that_is_no_number_is_damaged(tmp_path):
    run_dir = write_run(tmp_path, "run")
    path = run_dir / "predictions.csv"
    lines = path.read_text().splitlines()
    lines[1] = ",".join([*lines[1].split(",")[:3], "", "", ""])
    path.write_text("\n".join(lines))
    (row,) = summary_of(tmp_path)["runs"]
    assert f"{path}: is damaged" in row["error"]


def test_run_of_a_newer_format_is_named_with_its_version(tmp_path):
    run_dir = write_run(tmp_path, "run")
    content = json.loads((run_dir / "metrics.json").read_text())
    (run_dir / "metrics.json").write_text(json.dumps(content | {"format": 99, "btxrd": "9.9"}))
    (row,) = summary_of(tmp_path)["runs"]
    assert (row["state"], "btxrd 9.9" in row["error"]) == ("damaged", True)


@pytest.mark.parametrize("name", ["malignant_false_negative.png", "malignant_miss.png"])
def test_pictures_of_the_winner_are_found_under_present_and_old_names(tmp_path, name):
    for run, skill in (("winner", 0.6), ("other", 0.2)):
        folder = write_run(tmp_path, run, backbone=run, skill=(skill, 0.5)) / "gradcam"
        folder.mkdir()
        Image.new("RGB", (84, 46), "teal").save(folder / name)
    summarize([tmp_path], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/webp") == 1
    assert "Missed malignant" in page


def test_damaged_picture_does_not_stop_the_report(tmp_path):
    folder = write_run(tmp_path, "run") / "gradcam"
    folder.mkdir()
    (folder / "malignant_false_negative.png").write_text("no picture")
    assert summarize([tmp_path], tmp_path)


ADDED = Metric(
    "added", "added metric", "higher", 0, 1, "no case is certain",
    compute=lambda cases, weights: weights @ (cases.probs.max(axis=1) > 0.5) / weights.sum(axis=1),
    headline=True, in_terminal=True,
)  # fmt: skip


@pytest.fixture
def added(monkeypatch):
    """Adds a metric after the runs were scored."""

    def add():
        monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, ADDED))
        monkeypatch.setattr("btxrd.evaluation.bootstrap.METRICS", metrics.METRICS, raising=False)

    return add


def page_of(sweep_dir):
    summarize([sweep_dir], sweep_dir)
    return (sweep_dir / "report.html").read_text()


def test_run_that_was_scored_before_a_metric_existed_has_an_empty_cell(tmp_path, added):
    """Detects a new metric that makes old runs damaged."""
    write_run(tmp_path, "run")
    added()
    row = rows_of(tmp_path)["run"]
    assert (row["state"], row["error"]) == ("complete", "")
    assert [row[f"added{end}"] for end in ("", "_low", "_high")] == [""] * 3
    assert text_of(tmp_path).splitlines()[2].split()[-1] == "-"
    page = page_of(tmp_path)
    assert "added metric not in metrics.json; run btxrd score" in page


def test_metric_of_the_table_is_shown_everywhere(tmp_path, added):
    added()
    for seed in (0, 1):
        write_run(tmp_path, f"seed={seed}", seed=seed, noise=seed + 50)
    value = read_metrics(tmp_path / "seed=0").test.values["added"].value
    assert float(rows_of(tmp_path)["seed=0"]["added"]) == pytest.approx(value)
    text = text_of(tmp_path)
    assert "added metric" in text
    assert f"{value:.3f} (" in text
    (row,) = summary_of(tmp_path)["settings"]
    page = page_of(tmp_path)
    assert f"{row['added']['value']:.3f}" in page
    assert "added" in row["ensemble"]
    assert "not in metrics.json" not in page


def test_undefined_metric_is_empty_with_its_reason(tmp_path):
    run_dir = write_run(tmp_path, "run")
    test = read_metrics(run_dir).test
    test.values["malignant_predicted_normal"] = Estimate(None, None, None)
    edit_metrics(run_dir, test=test)
    assert rows_of(tmp_path)["run"]["malignant_predicted_normal"] == ""
    assert "malignant predicted normal not computed: no case is malignant" in page_of(tmp_path)
