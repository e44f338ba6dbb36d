"""Sweeps on a real Slurm of one machine, which is started for them."""

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import environment
from slurm_cluster import slurm_cluster, why_not

from btxrd.execution.status import read_status

pytest.importorskip("submitit", reason="submitit is not installed")

LONG = ["training.epochs=6", "training.patience=6", "model.image_size=64"]
TINY = ["training.epochs=1", "model.image_size=32"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Environment of a process that talks to the cluster."""
    if reason := why_not():
        pytest.skip(f"no Slurm: {reason}")
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as variables:
        yield environment(**variables)


@pytest.fixture
def start(cluster, shrunk, tmp_path):
    data = [argument for argument in shrunk if argument.startswith("data.")]

    def starting(*arguments):
        command = [sys.executable, "-m", "btxrd.run", "-m", "model.backbone=resnet18", *data]
        command += ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]
        command += ["hydra.sweep.dir=out", "hydra.sweep.subdir=seed-${seed}", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env=cluster, **pipes)

    return starting


def job_of(run_dir, cluster):
    """The number of the Slurm job that does a run, once it trains."""
    patience = time.monotonic() + 120
    while time.monotonic() < patience:
        if (run_dir / "checkpoints" / "last.pt").is_file():
            pid = json.loads((run_dir / "status.json").read_text())["worker"]["pid"]
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            return re.search(rb"SLURM_JOB_ID=(\d+)", environment)[1].decode()
        time.sleep(0.1)
    raise AssertionError(f"{run_dir} never trained")


def rows_of(folder):
    with (folder / "out" / "summary.csv").open(newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def test_runs_are_jobs_and_a_requeued_one_goes_on(start, cluster, tmp_path):
    sweep = start("seed=0,1", *LONG)
    run_dir = tmp_path / "out" / "seed-0"
    job = job_of(run_dir, cluster)
    subprocess.run(["scontrol", "requeue", job], env=cluster, check=True)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    assert [row["state"] for row in rows_of(tmp_path).values()] == ["complete", "complete"]
    attempts = [read_status(tmp_path / "out" / f"seed-{seed}").attempts for seed in (0, 1)]
    assert attempts == [2, 1]
    log = (run_dir / "run.log").read_text()
    assert "Interrupted; this run can be resumed" in log
    assert "Resuming after epoch" in log
    assert read_status(run_dir).worker.threads == 1


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["USR2", "TERM"], ids=["time limit", "warning"])
def test_a_job_that_is_told_to_save_is_queued_again(signal, start, cluster, tmp_path):
    sweep = start("seed=0", *LONG)
    run_dir = tmp_path / "out" / "seed-0"
    job = job_of(run_dir, cluster)
    subprocess.run(["scancel", f"--signal={signal}", job], env=cluster, check=True)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    assert read_status(run_dir).attempts == 2
    assert "Resuming after epoch" in (run_dir / "run.log").read_text()


def test_a_failed_run_on_the_cluster_is_a_failed_run(start, tmp_path):
    sweep = start("model.attn_layer=nonsense", "seed=0", *TINY)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 1
    assert "Invalid attn module" in rows_of(tmp_path)["seed-0"]["error"]
    assert "Invalid attn module" in printed
