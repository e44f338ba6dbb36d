"""A run as a job of Slurm: its resources, and its return to the queue."""

import os
import re
import shutil
import subprocess
import sys
from typing import NoReturn


def is_job() -> bool:
    """Return whether this process is a job of Slurm that submitit started."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def has_gpus() -> bool:
    """Return whether a partition of the cluster has GPUs."""
    return "gpu" in _ask("sinfo", "--noheader", "--format=%G")


def end_to_go_on() -> NoReturn:
    """End a job whose run was interrupted, without a result and so that Slurm starts it again.

    If Slurm itself has ended the job, to preempt or to requeue it, Slurm does so. After a mere
    warning, which some clusters send before they preempt, the job has to ask for it.
    """
    job = os.environ["SLURM_JOB_ID"]
    state = re.search(r"JobState=(\w+)", _ask("scontrol", "show", "job", job))
    if state is not None and state[1] == "RUNNING":
        _ask("scontrol", "requeue", job)
    sys.exit(1)


def _ask(program: str, *arguments: str) -> str:
    """Return the output of one of Slurm's programs; empty if it is not installed."""
    if shutil.which(program) is None:
        return ""
    return subprocess.run([program, *arguments], capture_output=True, text=True).stdout
