import json
import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from btxrd.artifacts.plan import SweepPlan, read_plan, write_plan
from btxrd.artifacts.status import Outcome, write_status
from btxrd.config.jobspec import JobSpec
from btxrd.errors import InputError
from btxrd.execution import supervisor
from btxrd.execution.fingerprint import _content, fingerprint
from btxrd.execution.launch import backup_checkpoints
from btxrd.execution.record import begin, record
from btxrd.execution.status import has_failed, is_complete, read_status
from btxrd.execution.stop import Stop, record_launch
from btxrd.runtime.files import lock, write_json
from btxrd.runtime.placement import placements

ON_CPU = Outcome("cpu (a machine)", "hash", None)


def attempt(run_dir, config, choices, work):
    begin(run_dir, config, choices)
    return record(run_dir, work)


@pytest.fixture
def config(compose):
    return compose()


def changed(config, group, **values):
    return replace(config, **{group: replace(getattr(config, group), **values)})


def test_fingerprint_is_of_what_can_change_a_number(config):
    same = [
        changed(config, "data", root="/elsewhere", cache="/other"),
        replace(config, device="cpu"),
    ]
    other = [
        replace(config, seed=1),
        changed(config, "training", lr=0.5),
        changed(config, "data", clahe_clip=0.0),
        changed(config, "split", seed=1),
        changed(config, "model", dropout=0.9),
    ]
    assert {fingerprint(c) for c in same} == {fingerprint(config)}
    assert len({fingerprint(c) for c in [config, *other]}) == 6


def test_fingerprint_names_weights_by_content(config, tmp_path):
    prints = []
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pth").write_bytes(content)
        prints.append(
            fingerprint(changed(config, "model", weights=str(tmp_path / folder / "w.pth")))
        )
    assert prints[0] == prints[1] != prints[2]


def test_fingerprint_names_films_and_outlines_by_content(config, phantom, tmp_path):
    def of(root):
        _content.cache_clear()  # as another process would begin
        data = {"phantom": None, "root": str(root), "cache": str(tmp_path / "cache")}
        return fingerprint(changed(config, "data", **data))

    for name in ("here", "there"):
        shutil.copytree(phantom, tmp_path / name)
    first = of(tmp_path / "here")
    assert of(tmp_path / "there") == of(tmp_path / "here") == first
    for pattern in ("images/*.jpeg", "Annotations/**/*.json", "dataset.xlsx"):
        path = next((tmp_path / "there").glob(pattern))
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"?")
        assert of(tmp_path / "there") != first
        path.write_bytes(whole)
    assert of(tmp_path / "there") == first


def test_the_index_of_digests_is_not_believed_if_it_is_damaged_or_the_file_another(
    config, phantom, tmp_path
):
    shutil.copytree(phantom, tmp_path / "here")

    def now():
        _content.cache_clear()
        return _content(tmp_path / "here", tmp_path / "cache")

    first = now()
    (index,) = (tmp_path / "cache").glob("digests-*.json")
    whole = index.read_text()
    for damaged in (whole[:-40], "[]", "{}", "null", re.sub(r'"[0-9a-f]{64}"', '"0"', whole)):
        index.write_text(damaged)
        assert now() == first
    film = next((tmp_path / "here" / "images").iterdir())
    times, content = film.stat(), film.read_bytes()
    film.write_bytes(content[:-1] + b"?")
    os.utime(film, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert now() != first


def test_complete_is_written_after_the_work(config, tmp_path):
    def work():
        assert json.loads((tmp_path / "status.json").read_text())["state"] == "running"
        return ON_CPU

    assert attempt(tmp_path, config, {"model": "m"}, work) == "complete"
    status = read_status(tmp_path)
    assert (status.state, status.device) == ("complete", "cpu (a machine)")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["choices"] == {"model": "m"}
    assert is_complete(tmp_path, config)


def test_failure_is_recorded_with_its_traceback(config, tmp_path, caplog):
    def work():
        raise InputError("films/a.jpeg: is broken")

    assert attempt(tmp_path, config, {}, work) == "failed"
    status = read_status(tmp_path)
    assert (status.state, status.error.type) == ("failed", "InputError")
    assert status.error.message == "films/a.jpeg: is broken"
    assert "in work" in status.error.traceback
    assert caplog.text.count("\n") == 1
    assert not is_complete(tmp_path, config)


def test_interrupt_is_recorded_and_passed_on(config, tmp_path):
    def work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(tmp_path, config, {}, work)
    assert read_status(tmp_path).state == "interrupted"
    attempt(tmp_path, config, {}, lambda: ON_CPU)
    assert read_status(tmp_path).attempts == 2


def test_an_interrupt_is_acknowledged_before_the_run_has_saved(
    config, tmp_path, monkeypatch, capsys
):
    said = []

    def poll(process):
        if not process.asked:
            raise KeyboardInterrupt
        said.append(capsys.readouterr().err)
        return 0

    process = SimpleNamespace(stdout=None, asked=[], poll=lambda: None, kill=list, wait=list)
    process.send_signal = process.asked.append
    monkeypatch.setattr(supervisor, "_start", lambda *_, **__: process)
    monkeypatch.setattr(supervisor, "_poll", poll)
    job = JobSpec(config, {}, {}, {}, {})
    (placement,) = placements(1, use_gpus=False)
    with pytest.raises(KeyboardInterrupt):
        supervisor.supervise(tmp_path, job, placement, lambda: Stop.NO)
    assert said == ["Stopping: the run is saving its state. Interrupt again to quit immediately.\n"]


def test_other_config_does_not_go_on_from_what_is_there(config, tmp_path):
    last = tmp_path / "checkpoints" / "last.pt"

    def fail():
        raise RuntimeError

    attempt(tmp_path, config, {}, fail)
    last.parent.mkdir()
    last.write_bytes(b"state")
    attempt(tmp_path, config, {}, fail)
    assert last.exists()
    attempt(tmp_path, replace(config, seed=1), {}, fail)
    assert not last.exists()


def test_runs_of_two_configs_that_take_turns_lose_nothing(config, tmp_path):
    """Detects: a folder that is used twice for moved files."""

    def fail():
        raise RuntimeError

    configs = [config, replace(config, seed=1)] * 3
    for number, one in enumerate(configs):
        attempt(tmp_path, one, {}, fail)
        (tmp_path / "history.csv").write_text(str(number))
        (tmp_path / "checkpoints").mkdir()
    kept = {path.read_text() for path in tmp_path.rglob("history.csv")}
    assert kept == set("012345")
    assert len({path.parent for path in tmp_path.glob("of-*/checkpoints")}) == 5
    assert read_status(tmp_path).fingerprint == fingerprint(configs[-1])


def test_a_failure_counts_in_its_own_call_only_whatever_the_clock_says(config, tmp_path):
    def fail():
        raise RuntimeError

    begin(tmp_path, config, {}, launch="one")
    record(tmp_path, fail)
    write_status(tmp_path, replace(read_status(tmp_path), ended="2999-01-01T00:00:00.000+00:00"))
    assert has_failed(tmp_path, "one")
    assert not has_failed(tmp_path, "two")


def test_each_call_has_a_name_of_its_own(tmp_path):
    names = [record_launch(tmp_path, ["a"]) for _ in range(2)]
    assert len(set(names)) == 2
    assert read_plan(tmp_path).launch == names[1]


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_no_duration_is_negative_though_a_clock_was_set_back(how, config, tmp_path):
    def work():
        raise RuntimeError

    begin(tmp_path, config, {})
    future = "2999-01-01T00:00:00.000+00:00"
    begun = json.loads((tmp_path / "status.json").read_text())
    write_json(tmp_path / "status.json", begun | {"started": future, "seconds": -259176.0})
    with lock(tmp_path / ".lock"):
        if how == "fails":
            record(tmp_path, work)
    assert 0 <= read_status(tmp_path).seconds < 60


def test_a_plan_that_is_damaged_is_kept_and_does_not_stop_a_sweep(tmp_path, capsys):
    for text in ("{", "[]"):
        (tmp_path / "plan.json").write_text(text)
        record_launch(tmp_path, ["a"])
    assert read_plan(tmp_path).runs == ("a",)
    assert (tmp_path / "plan.json.damaged").read_text() == "{"
    assert (tmp_path / "plan.json.damaged.2").read_text() == "[]"
    assert capsys.readouterr().err.count("plan.json: is damaged") == 2


def test_a_plan_of_a_newer_format_is_not_replaced(tmp_path):
    (tmp_path / "plan.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="has format 99"):
        record_launch(tmp_path, ["a"])
    assert (tmp_path / "plan.json").read_text() == '{"format": 99}'


def test_complete_run_of_another_config_is_refused_with_what_differs(config, tmp_path):
    attempt(tmp_path, config, {}, lambda: ON_CPU)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = changed(replace(config, seed=3, device="cpu"), "training", epochs=9)
    with pytest.raises(InputError) as got:
        is_complete(tmp_path, other)
    assert "training.epochs=2 there, 9 now, seed=0 there, 3 now" in str(got.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_plan_remembers_runs_of_earlier_calls(tmp_path):
    record_launch(tmp_path, ["a", "b"])
    record_launch(tmp_path, ["b", "c"])
    assert read_plan(tmp_path).runs == ("a", "b", "c")


def test_a_run_that_was_planned_in_nested_folders_is_planned_once(tmp_path):
    write_plan(tmp_path, SweepPlan(("experiment=best/lite0", "experiment=best/lite2")))
    record_launch(tmp_path, ["experiment=best.lite0", "experiment=best/lite2"])
    assert read_plan(tmp_path).runs == ("experiment=best/lite2", "experiment=best.lite0")


def test_old_baselines_are_copied_once(tmp_path):
    (tmp_path / "old.pt").write_bytes(b"first")
    (tmp_path / "notes.txt").write_bytes(b"no checkpoint")
    backup_checkpoints(tmp_path)
    (tmp_path / "old.pt").write_bytes(b"second")
    backup_checkpoints(tmp_path)
    copies = {path.name: path.read_bytes() for path in (tmp_path / "backup_b0_baseline").iterdir()}
    assert copies == {"old.pt": b"first"}
    assert (tmp_path / "old.pt").read_bytes() == b"second"


def test_no_checkpoints_is_no_backup(tmp_path):
    backup_checkpoints(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
