"""Damage every file of a run: the file is reported, without a traceback or effects on others."""

import random
import shutil
from pathlib import Path

import damages
import pytest
from sweeps import write_run

from btxrd.artifacts.config import read_config
from btxrd.artifacts.hashes import MAY_BE_DELETED, is_derived
from btxrd.artifacts.plan import SweepPlan, write_plan
from btxrd.artifacts.status import read_status
from btxrd.evaluation import score as scoring
from btxrd.execution.ahead import preflight
from btxrd.execution.ahead.preflight import check_runs, check_sweep_folder
from btxrd.execution.stop import record_launch
from btxrd.html.publish import summarize
from btxrd.report.runs import read_runs
from btxrd.score import find_runs, score_run

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"
NOT_OF_A_RUN = (".lock", "run.log")


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr(scoring, "draw_plots", lambda *args: None)
    for name in ("_check_models", "_check_data"):  # checks of the other run, which is intact
        monkeypatch.setattr(preflight, name, lambda *args: None)
    monkeypatch.setattr("btxrd.evaluation.bootstrap.RESAMPLES", 20)


@pytest.fixture
def sweep(guided_run, tmp_path):
    """Return a sweep with a complete run and a failed one."""
    folder = tmp_path / "sweep"
    shutil.copytree(guided_run.run_dir, folder / "run")
    write_run(folder, "other", state="failed")
    write_plan(folder, SweepPlan(("run", "other")))
    return folder


def files_of(run_dir):
    return [
        path for path in sorted(run_dir.rglob("*"))
        if path.is_file() and path.name not in NOT_OF_A_RUN
    ]  # fmt: skip


def is_changed(path, content):
    return not path.is_file() or path.read_bytes() != content


@pytest.mark.parametrize("count", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_every_damage_of_a_complete_run_is_reported(count, sweep, tmp_path):
    """Scoring reports it too, except for files that it writes again."""
    run_dir = sweep / "run"
    whole = shutil.copytree(run_dir, tmp_path / "whole")
    configs = {sweep / name: read_config(sweep / name).config for name in ("run", "other")}
    status, files = read_status(run_dir), files_of(run_dir)
    for seed in range(count):
        path = files[seed % len(files)]
        name = path.relative_to(run_dir).as_posix()
        with damages.restored(path):
            kind = damages.damage(path, seed)
            told = f"{name}, {kind}, seed {seed}"
            is_sealed = name in status.files or path.name == "status.json"
            is_spared = kind == "remove" and name in (MAY_BE_DELETED, "status.json")
            is_damaged = is_changed(path, (whole / name).read_bytes()) and not is_spared
            rows = {run.name: run.row for run in read_runs(sweep)}
            assert rows["other"].state == "failed", told
            if path.name in ("status.json", "config.yaml"):
                found = check_runs(configs)
                assert sweep / "other" not in found.refused, told
            is_scored, message = False, name
            if not is_derived(name) or seed < len(files):  # scoring is slow
                is_scored, message = score_run(run_dir)
            if is_damaged and path.name == "status.json" and rows["run"].state == "complete":
                assert read_status(run_dir) == status, told  # only format or version was damaged
            elif is_sealed and is_damaged:
                assert rows["run"].state == "damaged", told
                assert name in rows["run"].error, told
                assert is_scored or name in message, told
            assert "\n" not in message, told
            if is_scored:
                assert read_runs(sweep)[0].row.state == "complete", told
        if is_scored:
            shutil.rmtree(run_dir)
            shutil.copytree(whole, run_dir)


@pytest.mark.parametrize("count", [8, pytest.param(600, marks=pytest.mark.slow)])
def test_no_damage_of_a_run_without_hashes_ends_in_a_traceback(count, tmp_path, capsys):
    sweep = Path(shutil.copytree(FORMAT_1, tmp_path / "sweep"))
    (victim,) = (path.parent for path in sweep.rglob("metrics.json"))
    name = victim.relative_to(sweep).as_posix()
    whole = Path(shutil.copytree(victim, tmp_path / "whole"))
    files = [*files_of(victim), sweep / "plan.json"]
    chance = random.Random(0)
    for seed in range(count):
        path = chance.choice(files)
        with damages.restored(path):
            kind = damages.damage(path, seed)
            summarize([sweep], sweep)
            rows = {run.name: run.row for run in read_runs(sweep)}
            states = [row.state for key, row in rows.items() if key != name]
            if path.name == "plan.json":  # the damage may have changed the name of a run
                states = [state for state in states if state != "missing"]
            assert states == ["failed"], (path, kind, seed)
            if name in rows and rows[name].state == "damaged":
                assert path.name in rows[name].error, (path, kind, seed)
            is_scored, message = score_run(victim)
            named = {path.name, "missing"}
            if path.name == "best.json":  # if classes differ from the tables, either may be wrong
                named.add("predictions.csv")
            assert is_scored or any(part in message for part in named), (path, kind, seed)
            assert "\n" not in message
        shutil.rmtree(victim)
        shutil.copytree(whole, victim)
    capsys.readouterr()


@pytest.mark.parametrize("count", [15, pytest.param(400, marks=pytest.mark.slow)])
def test_no_damage_of_a_plan_hides_a_run_or_keeps_a_sweep_from_starting(count, sweep, capsys):
    plan = sweep / "plan.json"
    whole = plan.read_bytes()
    for seed in range(count):
        damages.damage(plan, seed)
        assert {"run", "other"} <= {run.name for run in read_runs(sweep)}
        assert {sweep / "run", sweep / "other"} <= set(find_runs(sweep))
        check_sweep_folder(sweep, [])
        record_launch(sweep, ["run", "new"])
        assert {"run", "new"} <= {run.name for run in read_runs(sweep)}
        plan.write_bytes(whole)
    kept = list(sweep.glob("plan.json.damaged*"))
    assert capsys.readouterr().err.count("it was moved to plan.json.damaged") == len(kept) > 0
