"""What each of the runs on one machine gets: a GPU, and its share of the cores."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from btxrd.runtime.cores import THREADS, cores, threads
from btxrd.runtime.files import lock


@dataclass(frozen=True)
class Placement:
    """What a run is given.

    Attributes:
        threads: of the CPU.
        gpu: as CUDA_VISIBLE_DEVICES names it; None leaves all that are visible.
        lock: descriptor of the slot, which the run's process must inherit; None without slots.
    """

    threads: int
    gpu: str | None = None
    lock: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the run's process."""
        found = dict.fromkeys(THREADS, str(self.threads))
        if self.gpu is not None:
            found["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.lock is not None:
            found["TQDM_DISABLE"] = "1"  # the bars of several runs would draw over each other
        return found


def runs_at_once(wanted: int, runs: int | None, runs_per_gpu: int, *, use_gpus: bool) -> int:
    """Say how many runs this machine does side by side.

    Args:
        wanted: joblib's n_jobs; -1 means as many as there is room for.
        runs: of the sweep, where that is known.
        runs_per_gpu: that may share a GPU.
        use_gpus: whether the runs may use them.
    """
    gpus = len(visible_gpus()) if use_gpus else 0
    room = min(cores(), gpus * runs_per_gpu) if gpus else cores()
    asked = wanted if wanted > 0 else max(1, cores() + 1 + wanted)
    return max(1, min(asked, room, room if runs is None else runs))


def share_of(at_once: int) -> int:
    """Count the threads that each of so many runs gets; one alone is given all that it may use."""
    return threads() if at_once == 1 else min(threads(), max(1, cores() // at_once))


@contextmanager
def slot(sweep_dir: Path, at_once: int, *, use_gpus: bool) -> Iterator[Placement]:
    """Take one of `at_once` places on this machine for as long as a run lasts.

    Each place has its own share of the cores, and a GPU that the fewest others share. A run that
    has the machine to itself sees all of it.
    """
    if at_once == 1:
        yield Placement(share_of(at_once))
        return
    gpus = visible_gpus() if use_gpus else []
    while True:
        for number in range(at_once):
            with lock(sweep_dir / ".slots" / str(number)) as handle:
                if handle is not None:
                    gpu = gpus[number % len(gpus)] if gpus else None
                    yield Placement(share_of(at_once), gpu, handle)
                    return
        time.sleep(0.2)


def visible_gpus() -> list[str]:
    """Name the NVIDIA GPUs that a process started from here would see; loads no torch."""
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limited is not None:
        names = [name.strip() for name in limited.split(",")]
        return names[: names.index("-1")] if "-1" in names else [name for name in names if name]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return [str(n) for n, _ in enumerate(ln for ln in listed.splitlines() if ln.startswith("GPU "))]
