"""A complete run keeps its hashes, and saved state its checksum; both are verified when read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from btxrd.artifacts.hashes import hash_run, verify_member
from btxrd.artifacts.sidecar import LAST, NEXT, SIDECAR, WEIGHTS, read_sidecar
from btxrd.artifacts.status import read_status, write_status
from btxrd.artifacts.tables import HistoryRow
from btxrd.errors import InputError
from btxrd.evaluation import score as scoring
from btxrd.execution.status import is_complete
from btxrd.model.checkpoint import (
    Progress,
    RandomState,
    TrainingState,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    verify_checkpoint,
)
from btxrd.model.weights import read_weights
from btxrd.report.runs import read_runs
from btxrd.runtime.files import write_json, write_text
from btxrd.score import score_run

FILES = [
    "config.yaml", "split.csv", "history.csv", "predictions.csv", "shortcuts.csv", "gradcam.csv",
    "metrics.json", "card.md", "figures/roc.png", "checkpoints/best.json",
    "checkpoints/best.safetensors", "status.json",
]  # fmt: skip


@pytest.fixture
def run_dir(guided_run, tmp_path):
    return Path(shutil.copytree(guided_run.run_dir, tmp_path / "sweep" / "run"))


def row_of(run_dir):
    (run,) = read_runs(run_dir.parent)
    return run.row


def flip(path, at=-9):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_hashes_are_of_every_result(run_dir):
    ours = {"status.json", "run.log", ".lock"}
    found = {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()}
    assert set(read_status(run_dir).files) == found - ours


def test_what_a_run_removes_at_its_end_has_no_hash(tmp_path):
    for name in (LAST, NEXT, WEIGHTS, f"{SIDECAR}.7.btxrd.tmp"):
        write_text(tmp_path / "checkpoints" / name, "")
    assert list(hash_run(tmp_path)) == [f"checkpoints/{WEIGHTS}"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_a_file_makes_its_run_damaged(name, run_dir):
    flip(run_dir / name)
    row = row_of(run_dir)
    assert (row.state, row.metrics) == ("damaged", {})
    assert row.error.startswith(f"{run_dir / name}: ")


@pytest.mark.parametrize("key", ["files", "checksum", "val_macro_auc", "split_hash", "seconds"])
def test_a_key_that_was_removed_from_a_sealed_status_is_damage(key, run_dir):
    content = json.loads((run_dir / "status.json").read_text())
    del content[key]
    write_json(run_dir / "status.json", content)
    assert row_of(run_dir).state == "damaged"


def test_a_picture_that_was_deleted_is_damage_and_the_weights_are_not(run_dir):
    (run_dir / "checkpoints" / WEIGHTS).unlink()
    assert row_of(run_dir).state == "complete"
    (run_dir / "figures" / "roc.png").unlink()
    assert "roc.png: is missing; run btxrd score" in row_of(run_dir).error


def test_a_run_without_hashes_is_accepted(run_dir):
    write_status(run_dir, replace(read_status(run_dir), files=None))
    flip(run_dir / "card.md")
    assert row_of(run_dir).state == "complete"


def test_a_damaged_status_does_not_count_as_complete(run_dir, guided_run):
    flip(run_dir / "status.json")
    with pytest.raises(InputError, match=r"status.json: is damaged"):
        is_complete(run_dir, guided_run.config)


def test_a_split_of_a_run_is_verified_before_another_run_uses_it(run_dir):
    verify_member(run_dir / "split.csv")
    flip(run_dir / "split.csv")
    with pytest.raises(InputError, match=r"split.csv: is damaged or was edited"):
        verify_member(run_dir / "split.csv")


# Scoring again


@pytest.fixture
def without_plots(monkeypatch):
    monkeypatch.setattr(scoring, "draw_plots", lambda *args: None)


def test_scoring_replaces_damaged_derived_files(run_dir, without_plots):
    before = read_status(run_dir)
    for name in ("metrics.json", "card.md"):
        flip(run_dir / name)
    assert score_run(run_dir)[0]
    assert row_of(run_dir).state == "complete"
    assert read_status(run_dir) == before


@pytest.mark.parametrize("name", [name for name in FILES[:6] if name.endswith((".csv", ".yaml"))])
def test_scoring_refuses_a_source_that_is_not_as_the_run_left_it(name, run_dir, without_plots):
    before = (run_dir / "metrics.json").stat().st_mtime_ns
    (run_dir / name).write_bytes((run_dir / name).read_bytes() + b"\n")
    is_scored, message = score_run(run_dir)
    assert not is_scored
    assert f"({name}: is damaged or was edited" in message
    assert (run_dir / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("step", ["write_metrics", "draw_plots", "write_text"])
def test_interrupted_scoring_must_be_repeated(step, run_dir, monkeypatch, without_plots):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scoring, step, kill)
        score_run(run_dir)
    row = row_of(run_dir)
    assert (row.state, "scoring did not end; run btxrd score" in row.error) == (
        "damaged", True,
    )  # fmt: skip
    assert score_run(run_dir)[0]
    assert row_of(run_dir).state == "complete"


def test_scoring_that_finds_damage_leaves_the_run_as_it_was(run_dir, monkeypatch, without_plots):
    monkeypatch.setattr(scoring, "read_history", lambda _: 1 / 0)
    assert not score_run(run_dir)[0]
    assert row_of(run_dir).state == "complete"


# Weights and their sidecar


@pytest.fixture
def saved(guided_run, tmp_path):
    """A folder with two weights, saved one after the other; returns how to save others."""
    sidecar = read_sidecar(guided_run.run_dir)
    model = nn.Linear(3, 2)

    def save(epoch):
        nn.init.constant_(model.weight, epoch)
        save_checkpoint(tmp_path, model, replace(sidecar, epoch=epoch))

    save(1)
    return save


@pytest.mark.parametrize("name", [WEIGHTS, SIDECAR])
def test_weights_that_are_not_those_of_the_sidecar_are_refused(name, saved, tmp_path):
    shutil.copytree(tmp_path, tmp_path / "other")
    saved(2)
    shutil.copy(tmp_path / "other" / name, tmp_path / name)
    with pytest.raises(InputError, match=rf"{WEIGHTS}: is damaged or does not belong to {SIDECAR}"):
        verify_checkpoint(tmp_path)


def test_weights_with_a_flipped_bit_are_refused(saved, tmp_path):
    flip(tmp_path / WEIGHTS)
    with pytest.raises(InputError, match=f"{WEIGHTS}: is damaged"):
        load_checkpoint(tmp_path)


def test_weights_of_another_run_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match=f"{SIDECAR}: belongs to another run"):
        verify_checkpoint(tmp_path, "of-seed-1")


@pytest.mark.parametrize("killed_at", range(3))
def test_a_kill_while_weights_are_saved_leaves_the_old_or_the_new(
    killed_at, saved, tmp_path, monkeypatch
):
    """Detects a save in which weights and sidecar do not belong together at some moment."""
    steps = iter([1, 2, 3])
    place = Path.replace

    def maybe(path, target):
        if next(steps) == killed_at + 1:
            raise KeyboardInterrupt
        return place(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", maybe)
        saved(2)
    assert verify_checkpoint(tmp_path).epoch == (1 if killed_at < 2 else 2)
    saved(3)
    assert verify_checkpoint(tmp_path).epoch == 3
    assert not (tmp_path / NEXT).exists()


def test_weights_of_an_earlier_version_have_no_hash_and_are_accepted(saved, tmp_path):
    content = json.loads((tmp_path / SIDECAR).read_text())
    del content["sha256"]
    write_json(tmp_path / SIDECAR, content | {"initial": None})
    assert verify_checkpoint(tmp_path).epoch == 1


def test_weights_of_this_version_whose_hash_was_removed_are_refused(saved, tmp_path):
    content = json.loads((tmp_path / SIDECAR).read_text())
    initial = {"source": "random", "name": "", "sha256": "", "loaded": 0, "tensors": 0}
    write_json(tmp_path / SIDECAR, content | {"sha256": None, "initial": initial})
    with pytest.raises(InputError, match=r"best.json: is damaged \(lacks sha256"):
        verify_checkpoint(tmp_path)


# Training state


def state(**changes):
    random = RandomState(torch.get_rng_state(), [])
    plain = TrainingState({"w": torch.arange(9.0)}, {}, {}, None, [], "data", Progress(), random)
    return replace(plain, fingerprint="mine", **changes)


def test_state_is_read_as_it_was_saved_also_by_torch(tmp_path):
    save_state(tmp_path, state())
    assert load_state(tmp_path, "mine").model["w"].tolist() == list(range(9))
    assert torch.load(tmp_path / LAST, weights_only=True)["fingerprint"] == "mine"


def test_state_with_any_flipped_bit_is_refused(tmp_path):
    save_state(tmp_path, state())
    whole = (tmp_path / LAST).read_bytes()
    for at in range(0, len(whole), 97):
        flip(tmp_path / LAST, at)
        with pytest.raises(InputError, match=r"last.pt: is damaged; delete it"):
            load_state(tmp_path)
        (tmp_path / LAST).write_bytes(whole)


@pytest.mark.parametrize("size", [0, 10, -1, -20, -200])
def test_truncated_state_is_refused(size, tmp_path):
    save_state(tmp_path, state())
    whole = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(whole[:size])
    with pytest.raises(InputError, match=r"last.pt: is damaged; delete it"):
        load_state(tmp_path)


def test_state_that_was_saved_by_another_program_is_refused(tmp_path):
    save_state(tmp_path, state())
    torch.save(torch.load(tmp_path / LAST, weights_only=True), tmp_path / LAST)
    with pytest.raises(InputError, match=r"last.pt: is damaged.*no checksum"):
        load_state(tmp_path)


def test_state_of_another_run_is_refused(tmp_path):
    save_state(tmp_path, state())
    with pytest.raises(InputError, match=r"last.pt: belongs to another run .*; delete it"):
        load_state(tmp_path, "other")


def test_state_of_an_earlier_version_is_accepted(tmp_path, monkeypatch):
    save_state(tmp_path, state())
    content = torch.load(tmp_path / LAST, weights_only=True)
    del content["fingerprint"]
    torch.save(content, tmp_path / LAST)
    assert load_state(tmp_path, "mine").data == "data"


def test_best_weights_are_verified_before_training_resumes(saved, tmp_path):
    fingerprint = json.loads((tmp_path / SIDECAR).read_text())["fingerprint"]
    epoch = HistoryRow(1, *[0.5] * 7)
    save_state(tmp_path, replace(state(history=[epoch]), fingerprint=fingerprint))
    assert load_state(tmp_path, fingerprint).history == [epoch]
    flip(tmp_path / WEIGHTS)
    with pytest.raises(InputError, match=f"{WEIGHTS}: is damaged"):
        load_state(tmp_path, fingerprint)


def test_state_that_cannot_be_written_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"last.pt: cannot be written, "):
        save_state(tmp_path / "file", state())


def test_weights_of_a_damaged_run_are_not_trained_from(run_dir):
    path = run_dir / "checkpoints" / WEIGHTS
    assert read_weights(path, "model.weights")[0]
    flip(path)
    with pytest.raises(InputError, match=f"{WEIGHTS}: is damaged or was edited"):
        read_weights(path, "model.weights")
