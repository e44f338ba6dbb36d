"""Commands in surroundings that are not kind: closed and broken streams, strange settings."""

import subprocess
import sys
from pathlib import Path

import fates
import pytest
from checkout import environment
from fates import rows_of

CLOSED = """
import os, sys
os.close(0), os.close(1), os.close(2)
sys.stdin = sys.stdout = sys.stderr = None
from btxrd.runtime.surroundings import settle_in
settle_in()
print("nobody reads this", flush=True)
sys.exit(os.open(os.devnull, os.O_RDONLY) != 3)
"""


def python(*arguments, stdout=subprocess.PIPE, **variables):
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env=environment(**variables), check=False
    )


def test_streams_that_are_closed_are_opened():
    assert python("-c", CLOSED).returncode == 0


@pytest.mark.parametrize("command", ["run", "audit", "download", "summarize", "score"])
def test_output_that_nobody_takes_is_no_error(command):
    with Path("/dev/full").open("w") as full:
        done = python("-m", f"btxrd.{command}", "--help", stdout=full)
    assert (done.returncode, done.stderr) == (0, b"")


def test_help_is_shown_whatever_is_set():
    strange = {"COLUMNS": "1", "PYTHONWARNINGS": "error", "MPLBACKEND": "nonsense"}
    done = python("-m", "btxrd.run", "--cfg", "job", PYTHONIOENCODING="ascii", **strange)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_sweep_whose_output_breaks_does_its_runs(shrunk, tmp_path):
    fates.choose(tmp_path, {"": "completes"})
    data = [argument for argument in shrunk if argument.startswith("data.")]
    sweep = fates.start(tmp_path, *data, "seed=0,1", "hydra.sweep.dir=out")
    sweep.stdout.close()
    errors = sweep.stderr.read()
    assert (sweep.wait(timeout=120), errors) == (0, "")
    assert [row["state"] for row in rows_of(tmp_path / "out").values()] == ["complete"] * 2
