"""The files of a sweep are read in the present format and in every older one."""

import importlib
import json
import math
import pkgutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import btxrd.artifacts
from btxrd import __version__
from btxrd.artifacts import codec, tables
from btxrd.artifacts.archive import ArchiveMarker
from btxrd.artifacts.audit import (
    Assignment,
    AuditReport,
    DuplicatePair,
    GroupSizes,
    ImageFacts,
    Leakage,
    OutlineFacts,
    SplitAudit,
)
from btxrd.artifacts.config import CONFIG, read_config, write_config
from btxrd.artifacts.gallery import Gallery, GalleryImage
from btxrd.artifacts.metrics import METRICS_FILE, read_metrics, write_metrics
from btxrd.artifacts.plan import PLAN, SweepPlan, read_plan, write_plan
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.scores.localisation import MapScore
from btxrd.artifacts.sidecar import CHECKPOINTS, SIDECAR, read_sidecar
from btxrd.artifacts.status import STATUS, RunError, RunStatus, Worker, read_status, write_status
from btxrd.artifacts.summary import Summary
from btxrd.config.schema import Config, ModelConfig
from btxrd.errors import InputError

SWEEP = Path(__file__).parent / "fixtures" / "format-1"
COMPLETE, FAILED = (SWEEP / name for name in read_plan(SWEEP).runs)
CLASSES = ("normal", "benign", "malignant")
RENAMED = {  # a key or value of format 1: the present one
    "looks": "gradcam",
    "malignant_called_normal": "malignant_predicted_normal",
    "whole_film": "unmodified",
    "lesion_painted_out": "lesion_masked",
    "all_but_lesion_painted_out": "all_but_lesion_masked",
    "border_painted_out": "border_masked",
}
KINDS = {  # name: file in the fixture, how it is read in a folder
    "status": (COMPLETE / STATUS, read_status),
    "plan": (SWEEP / PLAN, read_plan),
    "sidecar": (COMPLETE / CHECKPOINTS / SIDECAR, read_sidecar),
    "metrics": (COMPLETE / METRICS_FILE, read_metrics),
    "config": (COMPLETE / CONFIG, read_config),
}
TABLES = {
    table.name: table
    for table in (
        tables.SPLIT,
        tables.HISTORY,
        tables.PREDICTIONS,
        tables.SHORTCUTS,
        tables.GRADCAM,
        tables.LESION_MAPS,
    )
}
parametrize_kinds = pytest.mark.parametrize("kind", KINDS)
parametrize_tables = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


def renamed(content):
    """Replace the keys of format 1 by the present ones, at all levels."""
    if isinstance(content, dict):
        return {RENAMED.get(key, key): renamed(value) for key, value in content.items()}
    return [renamed(one) for one in content] if isinstance(content, list) else content


def edited(kind, folder, **changes):
    """Copy a file of the fixture into a folder with other values of some keys; gives its path."""
    source, _ = KINDS[kind]
    content = yaml.safe_load(source.read_text()) | changes
    path = folder / source.name if kind != "sidecar" else folder / CHECKPOINTS / SIDECAR
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))  # is YAML, too
    return path


def content_of(artifact):
    return json.loads(json.dumps(artifact.as_content()))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (f"{CHECKPOINTS}/{SIDECAR}", read_sidecar),
        (METRICS_FILE, read_metrics),
        (STATUS, read_status),
    ],
)
def test_nothing_of_a_file_of_format_1_is_lost(name, read):
    """Detects an upgrade that drops a key, or takes the value of another one."""
    old = renamed(json.loads((COMPLETE / name).read_text()))
    new = content_of(read(COMPLETE))
    assert {key: new[key] for key in old} == old


def test_error_message_of_format_1_is_unchanged():
    error = read_status(FAILED).error
    assert (error.type, error.message) == (
        "InputError",
        "model.gradcam_layer=nonesuch: test_efficientnet has no such layer",
    )
    assert error.traceback.startswith("Traceback")


def test_the_plan_of_format_1_names_its_runs_in_order():
    assert content_of(read_plan(SWEEP)) == json.loads((SWEEP / PLAN).read_text())


def test_the_config_of_format_1_keeps_every_value():
    stored = read_config(COMPLETE)
    old = yaml.safe_load((COMPLETE / CONFIG).read_text())
    assert stored.choices == old["choices"]
    assert (stored.config.training.ema, stored.config.training.mixup) == (0.99, 0.0)
    assert stored.config.split.held_out == [2, 3]
    assert stored.config.model.pooling == "lesion"
    assert stored.config.data.phantom.cases == 60


@parametrize_tables
def test_tables_of_format_1_have_the_present_columns_and_all_their_rows(table):
    rows = tables.read_table(COMPLETE, table, CLASSES)
    old = pd.read_csv(COMPLETE / table.name)
    assert set(tables.columns_of(table, CLASSES)) == set(rows)
    assert (len(rows), len(rows.columns)) == (len(old), len(old.columns))


def test_the_columns_way_and_called_are_read_under_their_new_names():
    shortcuts = tables.read_table(COMPLETE, tables.SHORTCUTS, CLASSES)
    old = pd.read_csv(COMPLETE / "shortcuts.csv")
    assert shortcuts["variant"].tolist() == [RENAMED.get(way, way) for way in old["way"]]
    assert set(RENAMED.values()) & set(shortcuts["variant"])
    for table in (tables.GRADCAM, tables.LESION_MAPS):
        called = pd.read_csv(COMPLETE / table.name)["called"]
        assert tables.read_table(COMPLETE, table)["predicted"].tolist() == called.tolist()


def test_the_classes_of_format_1_are_those_of_btxrd():
    for artifact in (read_metrics(COMPLETE), read_sidecar(COMPLETE)):
        names = artifact.class_names
        assert names.names == CLASSES
        assert (names.focus, names.focus_label) == ("malignant", 2)
        assert (names.background, names.background_label) == ("normal", 0)
        assert names.with_lesion == ("benign", "malignant")


def test_notes_of_format_1_name_the_new_metric(tmp_path):
    content = json.loads((COMPLETE / METRICS_FILE).read_text())
    content["test"]["notes"] = {"malignant_called_normal": "no malignant case"}
    edited("metrics", tmp_path, test=content["test"])
    notes = read_metrics(tmp_path).test.notes
    assert notes == {"malignant_predicted_normal": "no malignant case"}


@parametrize_kinds
def test_a_newer_format_is_one_line_that_names_file_writer_and_reader(kind, tmp_path):
    path = edited(kind, tmp_path, format=99, btxrd="7.8.9")
    with pytest.raises(InputError) as got:
        KINDS[kind][1](tmp_path)
    line = str(got.value)
    assert line.startswith(f"{path}: ")
    assert "format 99, written by btxrd 7.8.9" in line
    assert f"this is btxrd {__version__}" in line
    assert "\n" not in line


@parametrize_kinds
def test_newer_format_is_named_even_if_its_keys_differ(kind, tmp_path):
    """Detects a reader that converts the content before it looks at the format."""
    path = edited(kind, tmp_path)
    path.write_text('{"format": 99, "btxrd": "7.8.9"}')
    with pytest.raises(InputError, match=r"format 99, written by btxrd 7\.8\.9"):
        KINDS[kind][1](tmp_path)


@parametrize_kinds
def test_keys_that_a_reader_does_not_know_are_ignored(kind, tmp_path):
    edited(kind, tmp_path, later={"added": [1]})
    source, read = KINDS[kind]
    assert read(tmp_path) == read(SWEEP if source.parent == SWEEP else COMPLETE)


@parametrize_kinds
@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe\x00", b"[" * 100_000],
    ids=["empty", "cut off", "list", "null", "binary", "deep"],
)
def test_a_damaged_file_is_one_line_that_names_it(kind, damage, tmp_path):
    path = edited(kind, tmp_path)
    path.write_bytes(damage)
    with pytest.raises(InputError) as got:
        KINDS[kind][1](tmp_path)
    assert str(got.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("status", "state", "finished"),
        ("status", "attempts", "two"),
        ("status", "format", 0),
        ("status", "format", "1"),
        ("plan", "runs", [1]),
        ("sidecar", "image_size", "large"),
        ("sidecar", "classes", None),
        ("metrics", "test", None),
        ("metrics", "clinical", []),
        ("config", "training", [1]),
        ("config", "data", {"phantom": {"cases": "many"}}),
        ("config", "seed", "many"),
        ("config", "choices", [1]),
    ],
)
def test_a_value_of_the_wrong_type_is_one_line_that_names_the_file(kind, key, value, tmp_path):
    path = edited(kind, tmp_path, **{key: value})
    with pytest.raises(InputError) as got:
        KINDS[kind][1](tmp_path)
    assert str(got.value).startswith(f"{path}: ")


def test_missing_status_is_none_and_missing_plan_is_empty(tmp_path):
    assert read_status(tmp_path) is None
    assert read_plan(tmp_path) == SweepPlan()


@pytest.mark.parametrize("read", [read_metrics, read_sidecar])
def test_metrics_and_sidecar_that_are_missing_are_an_oserror(read, tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


def full_status():
    """A status with a value in every field."""
    worker = Worker("machine", 7, 2, "GPU-a")
    return RunStatus(
        state="failed", fingerprint="f", started="2026-01-31T12:00:00.000+00:00",
        ended="2026-01-31T12:00:01.000+00:00", seconds=1.5, attempts=2,
        error=RunError("ValueError", "is wrong", "Traceback"), versions={"git": None},
        device="cpu", split_hash="s", val_macro_auc=0.25, worker=worker,
    )  # fmt: skip


def full_audit():
    """What an audit finds in two images that are one, in one center."""
    pair = DuplicatePair("a", "b", 3, 0.5, False, True, ("normal", "benign"), (1, 2), False)
    assignment = Assignment({"train": 2}, {"train": {"normal": 0.5}}, Leakage(*range(7)))
    return AuditReport(
        root="data", table="dataset.xlsx", cases=2, patients_can_be_told=True,
        counts={1: {"normal": 1}}, published={3: {"benign": 201}},
        images=ImageFacts({"median": 64.0}, None, {"L": 2}, {"JPEG": 2}),
        outlines=OutlineFacts(1, 1, {"median": 0.25}), errors={"rows": {"a": "is wrong"}},
        warnings={"without an outline": ["b"]}, duplicates=[pair],
        groups={"patients": GroupSizes(1, 2, {2: 1})},
        splits=[SplitAudit("stratified", whole=assignment, points_from_ungrouped={"class": 1.5})],
    )  # fmt: skip


def test_an_audit_of_format_1_is_read_under_the_present_names(tmp_path):
    content = json.loads(json.dumps(full_audit().as_content()))
    for present, old in (("errors", "faults"), ("warnings", "remarks"), ("images", "films")):
        content[old] = content.pop(present)
    (pair,) = content["duplicates"]
    pair["likeness"] = pair.pop("detail_correlation")
    (tmp_path / "audit.json").write_text(json.dumps(content))
    assert codec.read(tmp_path / "audit.json", AuditReport) == full_audit()


OUTLINE = ((0.1, 0.2), (0.3, 0.2))
FILM = GalleryImage("i", 1, "missed", "b", "a", (0.9, 0.1), "0.webp", "0.map.webp", (OUTLINE,))
WRITTEN = {
    "status": full_status,
    "status of a run that begins": lambda: RunStatus("running", "f", "2026-01-31T12:00:00+00:00"),
    "plan": lambda: SweepPlan(("a/b", "c"), {"c": "is locked"}, "now", 3, 7, "-m x=1", False),
    "status of format 1": lambda: read_status(FAILED),
    "plan of format 1": lambda: read_plan(SWEEP),
    "sidecar": lambda: read_sidecar(COMPLETE),
    "metrics": lambda: read_metrics(COMPLETE),
    "audit": full_audit,
    "gallery": lambda: Gallery(("a", "b"), "b", {"missed": 1}, (FILM,)),
    "archive": lambda: ArchiveMarker("0" * 32, files=9, cases=3),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_written_artifact_is_read_again(name, tmp_path):
    artifact, path = WRITTEN[name](), tmp_path / "file.json"
    codec.write(path, artifact)
    assert codec.read(path, type(artifact)) == artifact
    content = json.loads(path.read_text())
    assert (content["format"], content["btxrd"]) == (artifact.FORMAT, __version__)
    before = path.read_bytes()
    codec.write(path, codec.read(path, type(artifact)))
    assert path.read_bytes() == before


def test_each_file_has_the_name_that_its_reader_looks_for(tmp_path):
    write_status(tmp_path, full_status())
    write_plan(tmp_path, read_plan(SWEEP))
    write_metrics(tmp_path, read_metrics(COMPLETE))
    assert read_status(tmp_path) == full_status()
    assert read_plan(tmp_path) == read_plan(SWEEP)
    assert read_metrics(tmp_path) == read_metrics(COMPLETE)


def test_a_config_that_is_written_is_read_again(tmp_path):
    stored = read_config(COMPLETE)
    write_config(tmp_path, stored.config, {"model": "m"})
    again = read_config(tmp_path)
    assert (again.config, again.choices) == (stored.config, {"model": "m"})
    content = yaml.safe_load((tmp_path / CONFIG).read_text())
    assert (content["format"], content["btxrd"]) == (2, __version__)


def test_a_setting_that_did_not_exist_yet_has_its_neutral_value(tmp_path):
    training = yaml.safe_load((COMPLETE / CONFIG).read_text())["training"]
    del training["ema"], training["mixup"]
    edited("config", tmp_path, training=training)
    config = read_config(tmp_path).config
    assert (config.training.ema, config.training.mixup) == (0.0, 0.0)


@parametrize_tables
def test_a_table_that_is_written_is_read_again(table, tmp_path):
    rows = tables.read_table(COMPLETE, table, CLASSES)
    tables.write_table(tmp_path, table, rows, CLASSES)
    again = tables.read_table(tmp_path, table, CLASSES)
    pd.testing.assert_frame_equal(again, rows[list(again)])
    assert list(again) == tables.columns_of(table, CLASSES)


@parametrize_tables
def test_missing_column_is_an_error_of_one_line(table, tmp_path):
    rows = pd.read_csv(COMPLETE / table.name)
    rows.drop(columns=rows.columns[-1]).to_csv(tmp_path / table.name, index=False)
    with pytest.raises(InputError, match=rf"{table.name}: is damaged \(lacks the column \w+\)"):
        tables.read_table(tmp_path, table, CLASSES)


def test_file_that_is_not_a_table_is_an_error_of_one_line(tmp_path):
    (tmp_path / "split.csv").write_bytes(b"image_id\n\xff\xfe")
    with pytest.raises(InputError, match=r"split.csv: is damaged"):
        tables.read_table(tmp_path, tables.SPLIT)
    (tmp_path / "split.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"split.csv: is damaged"):
        tables.read_table(tmp_path, tables.SPLIT)


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    rows = pd.DataFrame({"image_id": ["0017"], "label": ["1"], "center": [2], "group": ["007"]})
    tables.write_table(tmp_path, tables.SPLIT, rows.assign(partition="test"))
    found = tables.read_table(tmp_path, tables.SPLIT)
    assert found[["image_id", "label", "group"]].iloc[0].tolist() == ["0017", "1", "007"]


def test_numbers_of_a_table_are_read_exactly(tmp_path):
    values = np.random.default_rng(0).random(200)
    rows = pd.read_csv(COMPLETE / "history.csv").iloc[[0] * 200].assign(val_loss=values)
    tables.write_table(tmp_path, tables.HISTORY, rows)
    assert (tables.read_table(tmp_path, tables.HISTORY)["val_loss"].to_numpy() == values).all()


def test_probabilities_are_written_with_nine_decimals(tmp_path):
    rows = tables.read_table(COMPLETE, tables.PREDICTIONS, CLASSES)[:1]
    tables.write_table(tmp_path, tables.PREDICTIONS, rows.assign(prob_normal=1 / 3), CLASSES)
    assert ",0.333333333," in (tmp_path / "predictions.csv").read_text()


def test_labels_and_probabilities_follow_the_order_of_the_classes():
    rows = tables.read_table(COMPLETE, tables.PREDICTIONS, CLASSES)
    order = CLASSES[::-1]
    labels, probs = tables.labels_and_probs(rows, order)
    assert [order[label] for label in labels] == rows["label"].tolist()
    assert (probs[:, 0] == rows["prob_malignant"]).all()


def test_a_label_that_is_no_class_and_a_probability_that_is_no_number_are_refused():
    rows = tables.read_table(COMPLETE, tables.PREDICTIONS, CLASSES)
    with pytest.raises(ValueError, match="label=sarcoma: must be one of normal, benign, malig"):
        tables.labels_and_probs(rows.assign(label="sarcoma"), CLASSES)
    with pytest.raises(ValueError, match="not a number"):
        tables.labels_and_probs(rows.assign(prob_benign=math.nan), CLASSES)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_not_written(number, tmp_path):
    write_status(tmp_path, full_status())
    with pytest.raises(ValueError, match="JSON"):
        write_status(tmp_path, replace(full_status(), val_macro_auc=number))
    assert read_status(tmp_path) == full_status()
    assert [path.name for path in tmp_path.iterdir()] == [STATUS]


def test_a_metric_that_was_added_later_is_absent_and_another_one_is_kept(tmp_path):
    """An older run lacks it; a newer run's is read by its name."""
    metrics = read_metrics(COMPLETE)
    assert "specificity_at_95" not in metrics.test.values
    test = json.loads((COMPLETE / METRICS_FILE).read_text())["test"]
    added = {"value": 0.5, "low": 0.25, "high": 0.75}
    edited("metrics", tmp_path, test=test | {"specificity_at_95": added})
    found = read_metrics(tmp_path).test.values
    assert found == {**metrics.test.values, "specificity_at_95": Estimate(0.5, 0.25, 0.75)}


def test_maps_keep_their_chance_levels():
    old = json.loads((COMPLETE / METRICS_FILE).read_text())["looks"]["all"]["peak_inside"]
    found = read_metrics(COMPLETE).gradcam["all"].peak_inside
    assert found == MapScore(**old)
    assert found.by_chance is not None


def test_every_json_file_is_tested_here():
    """Whoever describes another JSON file adds it to WRITTEN."""
    for module in pkgutil.iter_modules(btxrd.artifacts.__path__):
        importlib.import_module(f"btxrd.artifacts.{module.name}")
    described = {kind for kind in codec.Artifact.__subclasses__() if "btxrd" in kind.__module__}
    never_read = {Summary}
    assert described - never_read == {type(artifact()) for artifact in WRITTEN.values()}


def test_truncated_config_is_damaged(tmp_path):
    """Detects a reader that takes the default for what is lost."""
    write_config(tmp_path, Config(model=ModelConfig(backbone="resnet18")), {})
    with pytest.raises(InputError, match=r"config.yaml: cannot be read \(data.root is missing\)"):
        read_config(tmp_path)
