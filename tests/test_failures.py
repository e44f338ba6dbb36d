"""Run sweeps whose runs end in different ways, with the launchers for one machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fates
import pytest
from checkout import environment
from fates import rows_of, wait_for

from btxrd.artifacts.plan import read_plan
from btxrd.execution import launch
from btxrd.execution.status import read_status

LAUNCHERS = [pytest.param("basic", marks=pytest.mark.slow), "joblib"]
OF_SEEDS = {
    "seed-0": "completes",
    "seed-1": "raises",
    "seed-2": "is killed",
    "seed-3": "crashes",
    "seed-4": "lacks memory",
    "seed-5": "leaves",
    "seed-[67]": "waits",
}


@pytest.fixture(scope="module")
def data(shrunk):
    return [argument for argument in shrunk if argument.startswith("data.")]


@pytest.fixture
def start(data, tmp_path):
    """Return a function that starts a sweep whose seeds decide how the runs end."""
    fates.choose(tmp_path, OF_SEEDS)

    def starting(*arguments, launcher="basic"):
        sweep = ["hydra.sweep.dir=out", "hydra.sweep.subdir=seed-${seed}"]
        return fates.start(tmp_path, *data, *sweep, *arguments, f"hydra/launcher={launcher}")

    return starting


def states_of(folder):
    return [row["state"] for row in rows_of(folder / "out").values()]


def worker_of(run_dir):
    """Wait until a run of fate `waits` has started, and return its process id."""
    wait_for((run_dir / "waiting").exists)
    return json.loads((run_dir / "status.json").read_text())["worker"]["pid"]


def files_of(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_kind_of_failure_has_its_cause_and_stops_no_other_run(launcher, start, tmp_path):
    sweep = start("seed=1,2,3,4,5,0", launcher=launcher)
    printed, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 1
    assert states_of(tmp_path) == ["failed"] * 5 + ["complete"]
    causes = {
        1: "RuntimeError: the weights are made of cheese",
        2: "SIGKILL: the process was killed, by a user or by the system for lack of memory",
        3: "SIGSEGV: the process crashed without recording the cause",
        4: "MemoryError: memory ran out; lower training.batch_size or model.image_size, or do "
        "fewer runs in parallel",
        5: "exit status 7: the process crashed without recording the cause",
    }
    rows = rows_of(tmp_path / "out")
    table = printed[printed.index("Failed:") : printed.index("Winner")]
    for seed, cause in causes.items():
        assert rows[f"seed-{seed}"]["error"] == cause
        assert cause.strip() in table
        assert f"out/seed-{seed}/run.log" in table
    assert "6 runs: 1 complete, 5 failed" in printed
    status = read_status(tmp_path / "out" / "seed-3")
    assert "Segmentation fault" in status.error.traceback
    assert "cheese" in (tmp_path / "out" / "seed-1" / "run.log").read_text()


def test_failed_runs_are_retried_and_complete_ones_are_skipped(start, tmp_path):
    start("seed=0,1").communicate(timeout=60)
    before = files_of(tmp_path / "out" / "seed-0")
    fates.choose(tmp_path, {"seed": "completes"})
    sweep = start("seed=0,1")
    printed, _ = sweep.communicate(timeout=60)
    assert (sweep.returncode, states_of(tmp_path)) == (0, ["complete", "complete"])
    assert printed.count("complete already") == 1
    assert files_of(tmp_path / "out" / "seed-0") == before
    assert read_status(tmp_path / "out" / "seed-1").attempts == 2


def test_a_run_killed_after_completion_is_cleaned_up_and_not_repeated(start, tmp_path):
    start("seed=0").communicate(timeout=60)
    run_dir = tmp_path / "out" / "seed-0"
    (run_dir / "checkpoints").mkdir()
    (run_dir / "checkpoints" / "last.pt").touch()
    sweep = start("seed=0")
    printed, _ = sweep.communicate(timeout=60)
    assert (sweep.returncode, printed.count("complete already")) == (0, 1)
    assert not (run_dir / "checkpoints" / "last.pt").exists()
    assert read_status(run_dir).attempts == 1


def test_a_folder_of_another_config_is_not_changed_and_other_runs_are_done(start, tmp_path):
    start("seed=0").communicate(timeout=60)
    before = files_of(tmp_path / "out" / "seed-0")
    fates.choose(tmp_path, {"seed": "completes"})
    sweep = start("seed=0,1", "training.lr=0.5")
    printed, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 1
    assert files_of(tmp_path / "out" / "seed-0") == before
    cause = (
        "out/seed-0: contains a complete run of another config (training.lr=0.002 there, 0.5 now); "
        "set another hydra.run.dir or hydra.sweep.dir"
    )
    assert errors.startswith(cause)
    rows = rows_of(tmp_path / "out")
    assert rows["seed-0"]["error"] == f"refused: {cause}"
    assert rows["seed-1"]["state"] == "complete"
    assert "left untouched" in printed
    sweep = start("seed=0", "training.lr=0.5")
    _, errors = sweep.communicate(timeout=60)
    assert (sweep.returncode, errors) == (1, f"{cause}\n")


def test_a_run_on_a_damaged_image_is_reported_before_other_runs_start(start, phantom, tmp_path):
    for seed in (0, 8):
        shutil.copytree(phantom, tmp_path / f"data-{seed}")
    image = next((tmp_path / "data-8" / "images").glob("*.jpeg"))
    image.write_bytes(image.read_bytes()[:500])
    sweep = start("seed=8,0", f"data.root='{tmp_path}/data-${{seed}}'")
    printed, errors = sweep.communicate(timeout=120)
    assert (sweep.returncode, states_of(tmp_path)) == (1, ["failed", "complete"])
    assert errors.startswith(str(image))
    assert str(image) in printed[printed.index("Failed:") :]


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_stops_a_sweep_and_saves_its_runs(launcher, number, start, tmp_path):
    sweep = start("seed=6,7,0", launcher=launcher)
    worker_of(tmp_path / "out" / "seed-6")
    if number == signal.SIGINT:  # a terminal sends it to the whole process group
        os.killpg(sweep.pid, number)
    else:
        sweep.send_signal(number)
    printed, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + number
    states = states_of(tmp_path)
    assert (states[0], states[2]) == ("interrupted", "missing")
    assert states[1] == "missing" if launcher == "basic" else states[1] != "running"
    assert "Winner" in printed


def test_a_sweep_that_does_not_end_after_a_signal_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "PATIENCE", -29.9)
    before = {number: signal.getsignal(number) for number in launch.ENDING}
    received = []
    try:
        with pytest.raises(SystemExit), launch._stopping_in_order(tmp_path, received):
            signal.raise_signal(signal.SIGTERM)
            for _ in range(100):
                time.sleep(0.1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert received == [signal.SIGTERM]


def test_a_killed_run_fails_and_the_next_one_continues(start, tmp_path):
    sweep = start("seed=6,0")
    os.kill(worker_of(tmp_path / "out" / "seed-6"), signal.SIGKILL)
    sweep.communicate(timeout=120)
    assert (sweep.returncode, states_of(tmp_path)) == (1, ["failed", "complete"])


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_second_signal_kills_runs_that_do_not_end(launcher, start, tmp_path):
    fates.choose(tmp_path, {"seed": "refuses"})
    sweep = start("seed=6,7", launcher=launcher)
    worker_of(tmp_path / "out" / "seed-6")
    sweep.terminate()
    wait_for((tmp_path / "out" / "stop").exists)
    sweep.terminate()
    sweep.communicate(timeout=30)
    assert sweep.returncode == 128 + signal.SIGTERM
    assert read_status(tmp_path / "out" / "seed-6").state == "interrupted"
    assert not pids_of(sweep.pid)


def pids_of(group):
    """Return the ids of the living processes of a group."""
    command = ["ps", "-eo", "pid,pgid,stat"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()[1:]]
    return [int(pid) for pid, of, state in rows if int(of) == group and state[0] != "Z"]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_no_process_outlives_a_sweep_that_is_killed(launcher, start, tmp_path):
    sweep = start("seed=6,7", launcher=launcher)
    worker_of(tmp_path / "out" / "seed-6")
    sweep.kill()
    sweep.communicate(timeout=30)
    wait_for(lambda: not pids_of(sweep.pid))
    assert read_status(tmp_path / "out" / "seed-6").state == "interrupted"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_fail_fast_stops_at_the_first_failure(launcher, start, tmp_path):
    seeds, states = {
        "basic": ("seed=1,0", ["failed", "missing"]),
        "joblib": ("seed=6,1,0", ["interrupted", "failed", "missing"]),
    }[launcher]
    sweep = start(seeds, "fail_fast=true", launcher=launcher)
    sweep.communicate(timeout=60)
    assert (sweep.returncode, states_of(tmp_path)) == (1, states)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_joblib_does_n_jobs_runs_in_parallel(n_jobs, start, tmp_path):
    fates.choose(tmp_path, {"seed": "completes"})
    sweep = start("seed=0,1,8", f"hydra.launcher.n_jobs={n_jobs}", launcher="joblib")
    sweep.communicate(timeout=60)
    assert (sweep.returncode, read_plan(tmp_path / "out").at_once) == (0, n_jobs)


def test_a_resumed_sweep_gives_runs_the_same_number_of_threads(start, tmp_path):
    fates.choose(tmp_path, {"seed": "completes"})
    for _ in range(2):
        sweep = start("seed=0,1", launcher="joblib")
        sweep.communicate(timeout=60)
        assert sweep.returncode == 0
        assert read_status(tmp_path / "out" / "seed-1").worker.threads == 1
        shutil.rmtree(tmp_path / "out" / "seed-1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "seed-0" / "status.json").write_text("{"),
        lambda out: (out / "seed-0" / "config.yaml").unlink(),
    ],
)
def test_a_damaged_folder_does_not_stop_other_runs(damage, start, tmp_path):
    fates.choose(tmp_path, {"seed": "completes"})
    start("seed=0").communicate(timeout=60)
    damage(tmp_path / "out")
    sweep = start("seed=0,1", "training.lr=0.5")
    printed, errors = sweep.communicate(timeout=60)
    assert "Traceback" not in printed + errors
    assert (sweep.returncode, states_of(tmp_path)) == (1, ["damaged", "complete"])
    assert str(Path("out/seed-0")) in errors


def test_leftovers_of_another_config_are_moved(start, tmp_path):
    fates.choose(tmp_path, {"seed": "raises"})
    start("seed=0").communicate(timeout=60)
    run_dir = tmp_path / "out" / "seed-0"
    before = read_status(run_dir).fingerprint
    (run_dir / "metrics.json").write_text("{}")
    fates.choose(tmp_path, {"seed": "completes"})
    start("seed=0", "training.lr=0.5").communicate(timeout=60)
    assert read_status(run_dir).state == "complete"
    assert not (run_dir / "metrics.json").exists()
    assert (run_dir / f"of-{before}" / "metrics.json").exists()


def test_only_one_process_does_a_sweep_at_a_time(start, tmp_path):
    sweep = start("seed=6")
    worker_of(tmp_path / "out" / "seed-6")
    second = start("seed=6")
    _, errors = second.communicate(timeout=60)
    assert (second.returncode, errors.count("\n")) == (1, 1)
    assert f"process {sweep.pid} is already running this sweep" in errors
    sweep.terminate()
    assert sweep.wait(timeout=60) == 128 + signal.SIGTERM


def test_summarize_reports_a_sweep_that_is_running(start, tmp_path):
    sweep = start("seed=6,0")
    worker_of(tmp_path / "out" / "seed-6")
    command = [sys.executable, "-m", "btxrd.summarize", "out"]
    shown = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True
    ).stdout
    assert "epoch 0 of 5" in shown
    assert "2 runs: 1 missing, 1 running" in shown
    sweep.terminate()
    sweep.communicate(timeout=60)
