"""Benchmark the grid of eight runs in parallel, relative to the same runs one after another."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, in_turn, seconds

TURNS = 1
RUNS = ["-m", "experiment=glob(*)", "split=stratified,center"]


def rows(root: Path) -> Iterator[Row]:
    """Measure the grid on synthetic data. After the warm-up, all images are cached."""
    folder = root / "grid"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def sweep(name: str, *arguments: str) -> float:
        shutil.rmtree(folder / name, ignore_errors=True)
        command = [sys.executable, "-m", "btxrd.run", *RUNS, f"hydra.sweep.dir={name}", *arguments]
        options = {"cwd": folder, "capture_output": True, "check": True}
        return seconds(lambda: subprocess.run(command, **options))

    yield in_turn(
        "the grid of eight runs on synthetic data",
        "s",
        lambda: sweep("together"),
        "the same runs one after another",
        lambda: sweep("in-turn", "hydra/launcher=basic"),
        turns=TURNS,
    )
