"""btxrd with all hidden that Windows lacks. None of this ran on Windows itself."""

import signal
import subprocess
import sys
from pathlib import Path

import fates
import pytest
from checkout import environment
from fates import rows_of, wait_for

SIMULATION = Path(__file__).with_name("windows.py")
OF_SEEDS = {"seed.0": "completes", "seed.1": "raises", "seed.5": "leaves", "seed.6": "waits"}
IMPORT_ALL = """
import importlib, pkgutil
import btxrd
for found in pkgutil.walk_packages(btxrd.__path__, "btxrd."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from btxrd.execution.launch import signal, sys
assert sys.platform == "win32" and not hasattr(signal, "SIGKILL")
"""


def run(folder, *arguments):
    (folder / "sitecustomize.py").write_text(SIMULATION.read_text())
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def start(shrunk, tmp_path):
    """Start a sweep in which the seeds decide how runs end; return its process."""
    data = [argument for argument in shrunk if argument.startswith("data.")]

    def starting(*arguments, of_seeds=OF_SEEDS):
        fates.choose(tmp_path, of_seeds)
        chosen = tmp_path / "sitecustomize.py"
        chosen.write_text(f"{SIMULATION.read_text()}\n{chosen.read_text()}")
        return fates.start(tmp_path, *data, "hydra.sweep.dir=out", *arguments)

    return starting


def states_of(folder):
    return [row["state"] for row in rows_of(folder / "out").values()]


def test_every_module_can_be_imported(tmp_path):
    found = run(tmp_path, "-c", IMPORT_ALL)
    assert (found.returncode, found.stdout) == (0, "")


def test_runs_end_in_parallel_and_folders_have_names_that_windows_allows(start, tmp_path):
    sweep = start("seed=1,5,0", "hydra.sweep.subdir='seed:${seed}'", "hydra/launcher=joblib")
    printed, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 1, printed + errors
    assert states_of(tmp_path) == ["failed", "failed", "complete"], printed + errors
    assert all(name.startswith("seed_") for name in rows_of(tmp_path / "out"))


def test_ctrl_c_ends_a_sweep_in_order_and_the_same_command_resumes_it(start, tmp_path):
    sweep = start("seed=6,0", "hydra.sweep.subdir=seed-${seed}")
    wait_for((tmp_path / "out" / "seed-6" / "waiting").exists)
    sweep.send_signal(signal.SIGINT)
    sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + signal.SIGINT
    assert states_of(tmp_path) == ["interrupted", "missing"]
    sweep = start("seed=6,0", "hydra.sweep.subdir=seed-${seed}", of_seeds={"seed": "completes"})
    sweep.communicate(timeout=60)
    assert states_of(tmp_path) == ["complete", "complete"]


@pytest.mark.slow
def test_a_run_and_a_sweep_are_complete(shrunk, tmp_path):
    one = run(tmp_path, "-m", "btxrd.run", *shrunk, "hydra.run.dir=one")
    assert one.returncode == 0, one.stdout
    two = run(tmp_path, "-m", "btxrd.run", "-m", *shrunk, "seed=1,2", "hydra.launcher.n_jobs=2")
    assert two.returncode == 0, two.stdout
    assert "2 runs: 2 complete" in two.stdout
