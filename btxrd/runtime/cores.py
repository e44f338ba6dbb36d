"""How many threads a process may use."""

import os

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # libraries read these


def cores() -> int:
    """Count the physical cores that this process may use: by affinity, by container, by Slurm."""
    import joblib

    of_job = os.environ.get("SLURM_CPUS_PER_TASK")
    return int(of_job) if of_job else int(joblib.cpu_count(only_physical_cores=True))


def threads() -> int:
    """Count the threads that this process is to use: its share of the cores."""
    share = os.environ.get(THREADS[0], "")
    return int(share) if share.isdigit() and int(share) > 0 else cores()
