"""Scoring is a pure function of the files of a run, and the command does it for sweeps."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import environment
from sklearn.metrics import roc_auc_score

from btxrd.artifacts.metrics import read_metrics
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.status import read_status, write_status
from btxrd.artifacts.tables import labels_and_probs
from btxrd.errors import InputError
from btxrd.evaluation import score as scoring
from btxrd.evaluation.bootstrap import bootstrap_weights
from btxrd.evaluation.metrics import METRICS
from btxrd.evaluation.score import score
from btxrd.evaluation.selection import Validation, choose_temperature, choose_threshold
from btxrd.runtime.files import lock
from btxrd.score import find_runs, main, score_run

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"
(COMPLETE,) = (path.parent for path in FORMAT_1.rglob("metrics.json"))
NAMES = ("normal", "benign", "malignant")
ADDED = """
import sys
BLOCKED = {"torch", "torchvision", "timm", "pytorch_grad_cam", "cv2"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from btxrd.evaluation import metrics
metrics.METRICS += (
    metrics.Metric("mean_confidence", "mean confidence", "higher", 0, 1, headline=True,
        compute=lambda cases, weights: metrics.mean(cases.probs.max(axis=1), weights)),
    metrics.Metric("prevalence", "prevalence", "higher", 0, 1,
        compute_per_class=lambda one, weights: metrics.mean(one.truth, weights)),
)
from btxrd.score import main
sys.exit(main())
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A copy of a complete run of format 1, which is scored without plots."""
    monkeypatch.setattr(scoring, "draw_plots", lambda *args: None)
    return Path(shutil.copytree(COMPLETE, tmp_path / "run"))


def edit(run_dir, name, change):
    """Change the rows of a CSV file of a run."""
    path = run_dir / name
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def rows_of(run_dir, name, **wanted):
    rows = pd.read_csv(run_dir / name, dtype={"group": str})
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def flat(content, prefix=""):
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        return {k: v for key, one in items for k, v in flat(one, f"{prefix}.{key}").items()}
    return {prefix: content}


def test_a_run_of_format_1_keeps_its_metrics(run):
    """Headline metrics are equal; the CSV of maps has six decimals, which is why they are close.

    The interval of a share of 0 of n, or of n of n, claimed certainty then.
    """
    before = flat(msgspec.to_builtins(read_metrics(run)))
    after = flat(msgspec.to_builtins(score(run)))
    assert before.keys() == {name for name in after if ".lesion " not in name}
    for name, value in before.items():
        metric = name.rpartition(".")[0]
        ends = [f"{metric}.low", f"{metric}.high"]
        is_certain = name in ends and value in (0, 1) and before[ends[0]] == before[ends[1]]
        if is_certain and not metric.endswith(".difference"):
            assert after[ends[0]] < after[ends[1]], name
        elif name.startswith((".gradcam", ".lesion_maps")):
            assert after[name] == pytest.approx(value, abs=1e-5), name
        elif ".notes." not in name:
            assert after[name] == value, name
    assert json.loads((run / "metrics.json").read_text())["format"] == 2


def test_scoring_again_changes_no_byte(run):
    stored = []
    for _ in range(2):
        score(run)
        stored.append([(run / name).read_bytes() for name in ("metrics.json", "card.md")])
    assert stored[0] == stored[1]


def test_scoring_a_fresh_run_again_changes_no_byte(guided_run, tmp_path):
    run_dir = shutil.copytree(guided_run.run_dir, tmp_path / "run")
    score(run_dir)
    for name in ("metrics.json", "card.md"):
        assert (run_dir / name).read_bytes() == (guided_run.run_dir / name).read_bytes(), name


def test_metrics_are_of_the_stored_probabilities(run):
    """Detects scores that come from elsewhere, or of another partition."""
    before = score(run)

    def change(rows):
        last = rows.index[rows["partition"] == "test"][-1]
        rows.loc[last, [f"prob_{name}" for name in NAMES]] = ["0.1", "0.2", "0.7"]
        return rows

    edit(run, "predictions.csv", change)
    after = score(run)
    assert after.test.values["brier"] != before.test.values["brier"]
    assert after.val == before.val
    assert after.clinical.temperature == before.clinical.temperature
    assert after.clinical.calibration != before.clinical.calibration
    for partition in ("val", "test"):
        rows = rows_of(run, "predictions.csv", partition=partition)
        labels, probs = labels_and_probs(rows, NAMES)
        want = roc_auc_score(labels, probs, multi_class="ovr")
        values = getattr(after, partition).values
        assert values["macro_auc"].value == pytest.approx(want)


def test_choices_are_made_on_the_val_rows(run):
    """Detects temperature or threshold chosen on test."""
    found = score(run).clinical
    val = Validation.of(rows_of(run, "predictions.csv", partition="val"), NAMES)
    assert found.temperature == choose_temperature(val)
    assert found.operating_point.threshold == choose_threshold(val, 2)
    labels, probs = labels_and_probs(rows_of(run, "predictions.csv", partition="test"), NAMES)
    predicted = probs[:, 2] >= found.operating_point.threshold
    sensitivity = found.operating_point.test.sensitivity
    assert sensitivity.value == pytest.approx(predicted[labels == 2].mean())


def test_groups_and_centers_are_those_of_the_split(run):
    """Detects intervals over cases, or over rows in another order; centers of other cases."""

    def regroup(rows):
        number = np.arange(len(rows))
        return rows.assign(group=(number // 5).astype(str), center=number % 4 + 5)

    edit(run, "split.csv", lambda rows: regroup(rows).sample(frac=1, random_state=0))
    found = score(run)
    split = rows_of(run, "split.csv").set_index("image_id")

    def accuracy_ends(rows, right):
        weights = bootstrap_weights(split.loc[rows["image_id"], "group"].to_numpy(str))
        return tuple(np.quantile(weights @ right / weights.sum(axis=1), [0.025, 0.975]))

    def check(metric, rows):
        labels, probs = labels_and_probs(rows, NAMES)
        want = accuracy_ends(rows, probs.argmax(axis=1) == labels)
        assert (metric.low, metric.high) == pytest.approx(want)

    for partition in ("val", "test"):
        rows = rows_of(run, "predictions.csv", partition=partition)
        check(getattr(found, partition).values["accuracy"], rows)
    check(found.shortcuts["table"].accuracy, rows_of(run, "shortcuts.csv", way="table"))
    labels, probs = labels_and_probs(rows, NAMES)
    centers = split.loc[rows["image_id"], "center"].to_numpy()
    assert list(found.test.per_center) == [str(center) for center in np.unique(centers)]
    assert list(found.clinical.operating_point.per_center) == list(found.test.per_center)
    for name, metrics in found.test.per_center.items():
        here = centers == int(name)
        want = (probs.argmax(axis=1) == labels)[here].mean()
        assert metrics.values["accuracy"].value == pytest.approx(want)
    loss = ((probs - np.eye(3)[labels]) ** 2).sum(axis=1)
    brier = found.clinical.calibration.before.brier
    assert (brier.low, brier.high) == pytest.approx(accuracy_ends(rows, loss))


def test_variants_are_compared_with_the_unmodified_images(run):
    """Detects a difference from another variant, or from all test images."""
    found = score(run).shortcuts
    assert list(found) == [
        "unmodified", "lesion_masked", "all_but_lesion_masked", "border_masked",
        "center_and_size", "table",
    ]  # fmt: skip
    assert found["unmodified"].difference == Estimate(0, 0, 0)
    area = {}
    for name in ("whole_film", "border_painted_out"):
        labels, probs = labels_and_probs(rows_of(run, "shortcuts.csv", way=name), NAMES)
        area[name] = roc_auc_score(labels, probs, multi_class="ovr")
    assert found["border_masked"].macro_auc.value == pytest.approx(area["border_painted_out"])
    want = area["border_painted_out"] - area["whole_film"]
    assert found["border_masked"].difference.value == pytest.approx(want)


@pytest.mark.parametrize("name", ["gradcam", "lesion_maps"])
def test_localisation_is_of_the_table_of_its_name(run, name):
    """Detects Grad-CAM summarised as lesion maps, or the reverse."""

    def change(rows):
        columns = ["peak_inside", "energy_inside", "iou"]
        return rows.assign(map="ok").assign(**dict.fromkeys(columns, "0.125"))

    edit(run, f"{name}.csv", change)
    found = score(run)
    found = {"gradcam": found.gradcam, "lesion_maps": found.lesion_maps}
    assert found[name]["all"].energy_inside.value == pytest.approx(0.125)
    (other,) = set(found) - {name}
    assert found[other]["all"].energy_inside.value != pytest.approx(0.125)


def test_a_run_without_lesion_maps_has_no_summary_of_them(run):
    (run / "lesion_maps.csv").unlink()
    assert score(run).lesion_maps is None


def test_if_val_is_test_nothing_is_chosen(run):
    edit(run, "split.csv", lambda rows: rows.replace({"partition": {"val": "train"}}))
    edit(run, "predictions.csv", lambda rows: rows[rows["partition"] == "test"])
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["split"]["strategy"] = "random"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    found = score(run)
    assert found.val == found.test
    assert found.clinical is None
    assert found.test.notes["split"] == "random (val is test)"
    assert "Val and test are the same images" in (run / "card.md").read_text()


def test_classes_are_those_of_the_checkpoint(run):
    """Detects a focus class that is written in the code."""
    path = run / "checkpoints" / "best.json"
    content = json.loads(path.read_text()) | {"format": 2, "focus": "benign", "background": None}
    path.write_text(json.dumps(content))
    found = score(run)
    assert (found.focus, found.background) == ("benign", None)
    assert not any("predicted" in name for name in found.test.values)
    val = Validation.of(rows_of(run, "predictions.csv", partition="val"), NAMES)
    assert found.clinical.operating_point.threshold == choose_threshold(val, 1)


def test_plots_are_of_the_test_partition(run, monkeypatch):
    """Detects plots of val, or of all predictions."""
    drawn = []
    monkeypatch.setattr(scoring, "draw_plots", lambda *args: drawn.append(args))
    score(run)
    ((folder, labels, probs, history, names),) = drawn
    want = labels_and_probs(rows_of(run, "predictions.csv", partition="test"), NAMES)
    assert (labels == want[0]).all()
    assert (probs == want[1]).all()
    assert (folder, len(history), names) == (run / "figures", 2, NAMES)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("predictions.csv", lambda rows: rows[1:], "are not the val and test cases"),
        ("predictions.csv", lambda rows: rows.assign(label="normal"), "not the val and test"),
        ("predictions.csv", lambda rows: rows.drop(columns="prob_benign"), "lacks the column"),
        ("predictions.csv", lambda rows: rows.assign(prob_benign=""), "is not a number"),
        ("predictions.csv", lambda rows: rows.assign(partition="test"), "not the val and test"),
        ("shortcuts.csv", lambda rows: rows[1:], "has other cases"),
        ("shortcuts.csv", lambda rows: rows[rows["way"] == "table"], "variant=unmodified"),
        ("shortcuts.csv", lambda rows: rows.assign(image_id="IMG1"), "IMG1 is there twice"),
        ("shortcuts.csv", lambda rows: rows.replace("normal", "benign"), "is not a test case"),
        ("history.csv", lambda rows: rows[:0], "has no epoch"),
        ("gradcam.csv", lambda rows: rows.drop(columns="group"), "lacks the column group"),
    ],
)
def test_files_that_do_not_fit_are_named(run, name, change, problem):
    edit(run, name, change)
    with pytest.raises(InputError, match=f"(?s){name}.*{problem}"):
        score(run)


@pytest.mark.parametrize("name", ["predictions.csv", "config.yaml", "checkpoints/best.json"])
def test_a_missing_file_is_named_in_one_line(run, name):
    (run / name).unlink()
    is_well, message = score_run(run)
    assert not is_well
    assert message.startswith("not scored (") and name in message and "\n" not in message


# The command


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A sweep that was scored without torch and cv2, with two metrics more in the table."""
    sweep = Path(shutil.copytree(FORMAT_1, tmp_path_factory.mktemp("scored") / "sweep"))
    found = subprocess.run(
        [sys.executable, "-c", ADDED, str(sweep)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return sweep, found


def test_scoring_needs_neither_torch_nor_cv2(scored):
    sweep, found = scored
    lines = found.stdout.splitlines()
    name = COMPLETE.relative_to(FORMAT_1)
    assert f"{name}: scored: accuracy" in lines[0], found.stderr
    assert "not scored (failed)" in lines[1]
    assert found.returncode == 1
    pictures = {path.stem for path in (sweep / name / "figures").iterdir()}
    assert pictures == {"roc", "pr", "confusion", "calibration", "history"}


def test_a_metric_that_is_added_to_the_table_appears_everywhere(scored):
    """In metrics.json, the model card and summary.csv, from one entry."""
    sweep, _ = scored
    run_dir = sweep / COMPLETE.relative_to(FORMAT_1)
    found = read_metrics(run_dir)
    _, probs = labels_and_probs(rows_of(run_dir, "predictions.csv", partition="test"), NAMES)
    value = found.test.values["mean_confidence"].value
    assert value == pytest.approx(probs.max(axis=1).mean())
    shares = [found.test.per_class[name].values["prevalence"].value for name in NAMES]
    assert sum(shares) == pytest.approx(1)
    card = (run_dir / "card.md").read_text()
    assert f"| mean confidence | {found.val.values['mean_confidence'].value:.3f} | {value:.3f}" in (
        card
    )
    assert "| prevalence |" in card
    with (sweep / "summary.csv").open(newline="") as file:
        rows = {row["state"]: row for row in csv.DictReader(file)}
    assert float(rows["complete"]["mean_confidence"]) == pytest.approx(value)
    assert rows["failed"]["mean_confidence"] == ""


def test_a_sweep_has_the_runs_of_its_plan_and_of_its_folders(tmp_path):
    sweep = Path(shutil.copytree(FORMAT_1, tmp_path / "sweep"))
    plan = json.loads((sweep / "plan.json").read_text())
    plan["runs"].append("missing")
    (sweep / "plan.json").write_text(json.dumps(plan))
    extra = Path(shutil.copytree(COMPLETE, sweep / "extra"))
    names = [path.relative_to(sweep).as_posix() for path in find_runs(sweep)]
    assert names == [*plan["runs"], "extra"]
    assert score_run(sweep / "missing") == (False, "not scored (missing)")
    assert find_runs(extra) == [extra]


@pytest.mark.parametrize("kind", ["empty", "file", "nonesuch"])
def test_a_folder_without_a_run_is_wrong_input(tmp_path, kind):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{kind}: .*; name the folder of a run or of a sweep"):
        find_runs(tmp_path / kind)


def test_a_run_that_was_only_trained_is_named_and_is_no_failure(run):
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"evaluate": False}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    before = (run / "metrics.json").read_bytes()
    assert score_run(run) == (True, "not scored (evaluate=false: it was only trained)")
    assert (run / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("state", ["running", "failed", "interrupted"])
def test_a_run_that_is_not_complete_is_skipped(run, state):
    write_status(run, replace(read_status(run), state=state))
    before = (run / "metrics.json").read_bytes()
    with lock(run / ".lock"):
        assert score_run(run) == (False, f"not scored ({state})")
    assert (run / "metrics.json").read_bytes() == before


def test_run_that_is_locked_by_another_process_is_skipped(run):
    with lock(run / ".lock"):
        assert score_run(run) == (False, "not scored (another process is using it)")


def test_a_damaged_run_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scoring, "draw_plots", lambda *args: None)
    sweep = tmp_path / "sweep"
    for name in ("one", "two"):
        shutil.copytree(COMPLETE, sweep / name)
    (sweep / "one" / "predictions.csv").write_bytes(b"\xff\x00")
    monkeypatch.setattr(sys, "argv", ["score", str(sweep)])
    assert main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one: not scored (predictions.csv: is damaged")
    assert lines[1].startswith("two: scored: accuracy")


def test_exit_status_is_0_if_all_runs_were_scored(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score", str(run)])
    assert main() == 0
    assert capsys.readouterr().out.startswith(f"{run}: scored: accuracy")


def test_exit_status_is_2_for_wrong_input(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score", str(tmp_path / "nonesuch")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_line_of_a_run_shows_the_metrics_of_the_terminal(run):
    found = score(run)
    message = scoring.describe(found)
    shown = [metric for metric in METRICS if metric.in_terminal]
    assert len(shown) >= 2
    for metric in shown:
        value = found.test.values[metric.name].value
        assert f"{metric.title} {value:.3f}" in message


def test_the_terminal_names_a_constant_predictor(run, caplog):
    path = run / "predictions.csv"
    rows = pd.read_csv(path)
    rows[[column for column in rows if column.startswith("prob_")]] = (0.8, 0.1, 0.1)
    rows.to_csv(path, index=False)
    n = score(run).test.n
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"Constant predictor: all {n} test images are predicted normal." in warnings


def test_metrics_of_a_newer_format_are_not_replaced(run):
    path = run / "metrics.json"
    path.write_text('{"format": 99, "btxrd": "7.8.9"}')
    is_scored, message = score_run(run)
    assert not is_scored
    assert "format 99, written by btxrd 7.8.9" in message
    assert path.read_text() == '{"format": 99, "btxrd": "7.8.9"}'
