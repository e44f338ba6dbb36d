"""The number of threads and the memory that a process may use."""

import os
import sys
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # libraries read these
OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def cores() -> int:
    """Return the number of physical cores that affinity, container and Slurm allow."""
    import joblib

    of_job = os.environ.get("SLURM_CPUS_PER_TASK")
    return int(of_job) if of_job else int(joblib.cpu_count(only_physical_cores=True))


def threads() -> int:
    """Return the number of threads that this process should use: its share of the cores."""
    share = os.environ.get(THREADS[0], "")
    return int(share) if share.isdigit() and int(share) > 0 else cores()


def memory() -> int:
    """Return the memory of this machine, or of this container, in bytes."""
    import psutil

    of_machine = int(psutil.virtual_memory().total)
    limit = OF_CONTAINER.read_text().strip() if OF_CONTAINER.is_file() else "max"
    return min(of_machine, int(limit)) if limit.isdigit() else of_machine


def peak_memory() -> int:
    """Return the largest amount of memory that this process has used, in bytes."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        import psutil

        used = psutil.Process().memory_info()
        return int(getattr(used, "peak_wset", used.rss))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # given in KiB elsewhere
