"""A run as a Slurm job: the GPUs of the cluster, and requeueing."""

import os
import re
import shutil
import subprocess
import sys
from typing import NoReturn


def is_job() -> bool:
    """Return whether this process is a Slurm job that submitit started."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def has_gpus() -> bool:
    """Return whether a Slurm partition of the cluster has GPUs."""
    return "gpu" in _ask("sinfo", "--noheader", "--format=%G")


def end_to_go_on() -> NoReturn:
    """End a job whose run was interrupted, so that Slurm starts the job again.

    If Slurm is ending the job in order to preempt or requeue it, this function only exits. Some
    clusters send a warning first. The job is then still running and has to requeue itself.
    """
    job = os.environ["SLURM_JOB_ID"]
    state = re.search(r"JobState=(\w+)", _ask("scontrol", "show", "job", job))
    if state is not None and state[1] == "RUNNING":
        _ask("scontrol", "requeue", job)
    sys.exit(1)


def _ask(program: str, *arguments: str) -> str:
    """Return the output of a Slurm program, or an empty text if it is not installed."""
    if shutil.which(program) is None:
        return ""
    return subprocess.run([program, *arguments], capture_output=True, text=True).stdout
