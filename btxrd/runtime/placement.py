"""The resources of each run on one machine: a GPU, and its share of the cores."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from btxrd.runtime.cores import THREADS, cores, threads


@dataclass(frozen=True)
class Placement:
    """The resources of one run.

    Attributes:
        threads: Number of CPU threads.
        gpu: Value for CUDA_VISIBLE_DEVICES; None does not set it.
        in_parallel: Whether other runs use this machine at the same time.
    """

    threads: int
    gpu: str | None = None
    in_parallel: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the run's process."""
        found = dict.fromkeys(THREADS, str(self.threads))
        if self.gpu is not None:
            found["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.in_parallel:
            found["TQDM_DISABLE"] = "1"  # the bars of several runs would draw over each other
        return found


def runs_at_once(wanted: int, runs: int | None, runs_per_gpu: int, *, use_gpus: bool) -> int:
    """Return the number of runs that this machine executes in parallel.

    Args:
        wanted: `hydra.launcher.n_jobs`; -1 means one per core, -2 leaves one core free.
        runs: Number of runs in the sweep; None if it is not known.
        runs_per_gpu: Number of runs that may share a GPU.
        use_gpus: Whether the runs may use GPUs.
    """
    gpus = len(visible_gpus()) if use_gpus else 0
    most = min(cores(), gpus * runs_per_gpu) if gpus else cores()
    asked = wanted if wanted > 0 else max(1, cores() + 1 + wanted)
    return max(1, min(asked, most, most if runs is None else runs))


def share_of(at_once: int) -> int:
    """Return the number of threads of each of `at_once` runs. A single run gets all threads."""
    return threads() if at_once == 1 else min(threads(), max(1, cores() // at_once))


def placements(at_once: int, *, use_gpus: bool) -> list[Placement]:
    """Divide this machine among `at_once` parallel runs.

    Each run gets a share of the cores, and a GPU that the fewest other runs share. A single run can
    use the whole machine.
    """
    gpus = visible_gpus() if use_gpus and at_once > 1 else []
    return [
        Placement(share_of(at_once), gpus[number % len(gpus)] if gpus else None, at_once > 1)
        for number in range(at_once)
    ]


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs that a child process would see, without loading torch."""
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limited is not None:
        names = [name.strip() for name in limited.split(",")]
        return names[: names.index("-1")] if "-1" in names else [name for name in names if name]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return [str(n) for n, _ in enumerate(ln for ln in listed.splitlines() if ln.startswith("GPU "))]
