"""Start sweeps whose runs end in a chosen way, to test how runs are supervised.

Python imports sitecustomize.py when it starts. The one written here makes the process of a run end
in the chosen way when it imports the training, before it loads torch.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path

from checkout import environment

FATES = """
import ctypes, importlib.util, os, re, signal, sys, time, types

class Made:
    def create_module(self, spec):
        return None

    def exec_module(self, module):
        from btxrd.artifacts.status import Outcome

        module.create_model = lambda **_: None
        module.train_eval = lambda config, *_: Outcome("none", "none", config.training.lr)

def completes():
    return importlib.util.spec_from_loader("btxrd.train_eval", Made())

def raises():
    raise RuntimeError("the weights are made of cheese\\nmore")

def waits():
    open(sys.argv[1] + "/waiting", "w").close()
    time.sleep(120)

def refuses():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    waits()

FATES = {
    "completes": completes,
    "raises": raises,
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashes": lambda: ctypes.string_at(0),
    "lacks memory": lambda: [0] * 10**15,
    "leaves": lambda: os._exit(7),
    "waits": waits,
    "refuses": refuses,
}

class Fate:
    def find_spec(self, name, path=None, target=None):
        if name == "btxrd.model.factory":  # it would load torch
            return importlib.util.spec_from_loader(name, Made())
        if name == "btxrd.train_eval":
            for pattern, fate in CHOSEN.items():
                if re.search(pattern, sys.argv[1]):
                    return FATES[fate]()

class Unchecked:
    # The fate of a run is decided, so its model is not checked: that would load torch.

    def find_spec(self, name, path=None, target=None):
        if name == "btxrd.model.preflight":
            return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.Candidate = lambda *_: None
        checked = types.SimpleNamespace(fault=None, size=0)
        module.check_models = lambda models, cache: [checked] * len(models)

if "btxrd.run" in sys.orig_argv or "run" in sys.orig_argv[2:3]:
    sys.meta_path.insert(0, Unchecked())
if "btxrd.execution.worker" in sys.orig_argv:
    sys.meta_path.insert(0, Fate())
"""


def choose(folder: Path, fates: dict[str, str]) -> None:
    """Choose how runs end that are started with `folder` on the Python path.

    Args:
        folder: Folder for sitecustomize.py.
        fates: Name of a fate by a pattern for the path of the run. The first match counts.
    """
    (folder / "sitecustomize.py").write_text(f"CHOSEN = {fates!r}\n{FATES}")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a sweep in `folder`, in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "btxrd.run", "-m", "evaluate=false", *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder), SLURM_CPUS_PER_TASK="2"),  # cores
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows_of(sweep_dir: Path) -> dict[str, dict[str, str]]:
    """Return the rows of summary.csv by run."""
    with (sweep_dir / "summary.csv").open(newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def wait_for(condition):
    """Wait up to 60 s until a condition is true, and return its result."""
    deadline = time.monotonic() + 60
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found
    return found
