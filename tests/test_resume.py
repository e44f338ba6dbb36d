"""A run that is killed and goes on, against one that was not."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from checkout import environment
from fates import wait_for

from btxrd.execution.status import read_status

TIMES = ["seconds", "images_per_second"]
FILES = [
    "split.csv", "predictions.csv", "metrics.json", "gradcam.csv", "checkpoints/best.safetensors",
    *(f"figures/{name}.png" for name in ("roc", "pr", "confusion", "calibration", "history")),
]  # fmt: skip


def run_until(found, folder, *arguments):
    """Start a run, and kill it with all its processes once a file is there."""
    command = [sys.executable, "-m", "btxrd.run", *arguments, "hydra.run.dir=out"]
    running = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    patience = time.monotonic() + 120
    while not found.exists() and running.poll() is None and time.monotonic() < patience:
        time.sleep(0.02)
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    return running.wait()


@pytest.mark.slow
@pytest.mark.parametrize("after", ["checkpoints/best.safetensors", "checkpoints/last.pt"])
def test_a_resumed_run_equals_an_uninterrupted_run(after, guided_run, shrunk, tmp_path):
    """The other one was done in this very process."""
    run_dir, command = tmp_path / "out", [*shrunk, "annotations=guided"]
    for found in (after, "predictions.csv"):
        assert run_until(run_dir / found, tmp_path, *command) == -signal.SIGKILL
        wait_for(lambda: read_status(run_dir).state == "interrupted")
    assert run_until(tmp_path / "never", tmp_path, *command) == 0
    assert read_status(run_dir).attempts == 3
    for name in FILES:
        assert (run_dir / name).read_bytes() == (guided_run.run_dir / name).read_bytes(), name
    histories = [pd.read_csv(of / "history.csv") for of in (run_dir, guided_run.run_dir)]
    assert histories[0].drop(columns=TIMES).equals(histories[1].drop(columns=TIMES))
    assert not (run_dir / "checkpoints" / "last.pt").exists()
    assert not list(run_dir.rglob("*.tmp"))
