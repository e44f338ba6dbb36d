"""Sweeps in which runs end in every way there is, under the launchers of one machine."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from btxrd.sweep.ledger import read_status

TINY = ["training.epochs=1", "model.image_size=32", "model.backbone=resnet18"]
LAUNCHERS = ["basic", "joblib"]

# Python imports a sitecustomize.py at its start. This one lets a run's process meet its fate, which
# the seed of the run names, where it would have loaded the training, and so before it loads torch.
FATES = """
import ctypes, os, signal, sys, time

class Fate:
    def find_spec(self, name, path=None, target=None):
        if name == "btxrd.train_eval":
            for seed, meet in FATES.items():
                if f"seed-{seed}" in sys.argv[1]:
                    meet()

def raises():
    raise RuntimeError("the weights are made of cheese\\nmore")

def waits():
    open(sys.argv[1] + "/waiting", "w").close()
    time.sleep(120)

FATES = {
    1: raises,
    2: lambda: os.kill(os.getpid(), signal.SIGKILL),
    3: lambda: ctypes.string_at(0),
    4: lambda: [].__class__((0,)) * 10**15,
    5: lambda: os._exit(7),
    6: waits,
    7: waits,
}
if "btxrd.sweep.worker" in sys.orig_argv:
    sys.meta_path.insert(0, Fate())
"""


@pytest.fixture(scope="module")
def data(shrunk):
    return [argument for argument in shrunk if argument.startswith("data.")]


@pytest.fixture
def start(data, tmp_path):
    """Start a sweep in which the seeds decide; returns its process."""
    (tmp_path / "sitecustomize.py").write_text(FATES)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def starting(*arguments, launcher="basic"):
        command = [sys.executable, "-m", "btxrd.run", "-m", *TINY, *data, *arguments]
        command += [f"hydra/launcher={launcher}", "hydra.sweep.dir=out"]
        command += ["hydra.sweep.subdir=seed-${seed}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, start_new_session=True, **pipes
        )

    return starting


def rows_of(folder):
    with (folder / "out" / "summary.csv").open(newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def wait_for(condition):
    patience = time.monotonic() + 60
    while not condition() and time.monotonic() < patience:
        time.sleep(0.1)
    assert condition()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_kind_of_end_is_a_failure_with_its_cause_and_stops_no_other(
    launcher, start, tmp_path
):
    sweep = start("seed=1,2,3,4,5,0", launcher=launcher)
    printed, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 1
    rows = rows_of(tmp_path)
    assert [rows[f"seed-{seed}"]["state"] for seed in range(6)] == ["complete"] + ["failed"] * 5
    causes = {
        1: "RuntimeError: the weights are made of cheese",
        2: "SIGKILL: the process was killed, from outside or by the system for want of memory",
        3: "SIGSEGV: the process crashed, and left no word of the cause",
        4: "MemoryError: ",
        5: "exit status 7: the process crashed, and left no word of the cause",
    }
    table = printed[printed.index("Failed:") : printed.index("Winner")]
    for seed, cause in causes.items():
        assert rows[f"seed-{seed}"]["error"] == cause
        assert cause.strip() in table
        assert f"out/seed-{seed}/run.log" in table
    assert "6 runs: 1 complete, 5 failed" in printed
    status = read_status(tmp_path / "out" / "seed-3")
    assert "Segmentation fault" in status["error"]["traceback"]
    assert "cheese" in (tmp_path / "out" / "seed-1" / "run.log").read_text()


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_sweep_in_order(launcher, number, start, tmp_path):
    sweep = start("seed=6,7,0", launcher=launcher)
    begun = tmp_path / "out" / "seed-6" / "waiting"
    wait_for(begun.exists)
    if number == signal.SIGINT:  # of a terminal: the whole group gets it
        os.killpg(sweep.pid, number)
    else:
        sweep.send_signal(number)
    printed, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + number
    states = [row["state"] for row in rows_of(tmp_path).values()]
    assert states == ["interrupted", states[1], "missing"]
    assert states[1] == ("missing" if launcher == "basic" else "interrupted")
    assert "Winner" in printed


def test_a_killed_run_that_waits_is_failed_and_the_next_one_goes_on(start, tmp_path):
    sweep = start("seed=6,0")
    wait_for((tmp_path / "out" / "seed-6" / "waiting").exists)
    worker = json.loads((tmp_path / "out" / "seed-6" / "status.json").read_text())["worker"]
    os.kill(worker["pid"], signal.SIGKILL)
    sweep.communicate(timeout=120)
    states = [row["state"] for row in rows_of(tmp_path).values()]
    assert (sweep.returncode, states) == (1, ["failed", "complete"])


def pids_of(session):
    listed = subprocess.run(["ps", "-eo", "pid,pgid"], capture_output=True, text=True).stdout
    return [int(pid) for pid, group in map(str.split, listed.splitlines()[1:]) if group == session]


def test_runs_that_joblib_drops_are_started_again(start, tmp_path):
    """Joblib gives all runs up where a process of its own is killed."""
    sweep = start("seed=6,0", launcher="joblib")
    wait_for((tmp_path / "out" / "seed-6" / "waiting").exists)
    worker = json.loads((tmp_path / "out" / "seed-6" / "status.json").read_text())["worker"]
    parent = Path(f"/proc/{worker['pid']}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(parent), signal.SIGKILL)
    (tmp_path / "sitecustomize.py").write_text("")
    _, errors = sweep.communicate(timeout=120)
    states = [row["state"] for row in rows_of(tmp_path).values()]
    assert (sweep.returncode, states) == (0, ["complete", "complete"]), errors
    assert "they are started again" in errors
    assert read_status(tmp_path / "out" / "seed-6")["attempts"] == 2


def test_no_process_outlives_a_sweep_that_is_killed(start, tmp_path):
    sweep = start("seed=6,7", launcher="joblib")
    wait_for((tmp_path / "out" / "seed-7" / "waiting").exists)
    sweep.kill()
    sweep.communicate(timeout=30)
    wait_for(lambda: not pids_of(str(sweep.pid)))
    assert read_status(tmp_path / "out" / "seed-6")["state"] == "interrupted"


def test_fail_fast_stops_at_the_first_failure(start, tmp_path):
    sweep = start("seed=6,1,0", "fail_fast=true", launcher="joblib")
    sweep.communicate(timeout=120)
    states = [row["state"] for row in rows_of(tmp_path).values()]
    assert (sweep.returncode, states) == (1, ["interrupted", "failed", "missing"])


def test_summarize_tells_of_a_sweep_that_runs(start, tmp_path):
    sweep = start("seed=6,0")
    wait_for((tmp_path / "out" / "seed-6" / "waiting").exists)
    command = [sys.executable, "-m", "btxrd.summarize", "out"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "epoch 0 of 1" in shown
    assert "2 runs: 1 missing, 1 running" in shown
    sweep.terminate()
    sweep.communicate(timeout=60)
