"""A sweep of eight runs as it comes, beside the same eight one after another."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, in_turn, seconds

TURNS = 1
RUNS = ["-m", "experiment=glob(*)", "split=stratified,center"]


def rows(root: Path) -> Iterator[Row]:
    """The grid on phantoms; each run decodes nothing, for the cache is there after the first."""
    folder = root / "grid"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def sweep(name: str, *arguments: str) -> float:
        shutil.rmtree(folder / name, ignore_errors=True)
        command = [sys.executable, "-m", "btxrd.run", *RUNS, f"hydra.sweep.dir={name}", *arguments]
        told = {"cwd": folder, "capture_output": True, "check": True}
        return seconds(lambda: subprocess.run(command, **told))

    yield in_turn(
        "the grid of eight on phantoms",
        "s",
        lambda: sweep("together"),
        "the same runs one after another",
        lambda: sweep("in-turn", "hydra/launcher=basic"),
        turns=TURNS,
    )
