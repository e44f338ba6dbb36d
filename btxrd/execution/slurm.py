"""A run as a job of Slurm: what it asks for, and how it goes back into the queue."""

import os
import re
import shutil
import subprocess
import sys
from typing import NoReturn


def is_job() -> bool:
    """Whether this process is a job of Slurm's that submitit started."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def has_gpus() -> bool:
    """Whether a partition of the cluster has GPUs."""
    return "gpu" in _ask("sinfo", "--noheader", "--format=%G")


def end_to_go_on() -> NoReturn:
    """End a job whose run was interrupted, without a result and so that Slurm starts it again.

    Where Slurm itself has ended the job, to preempt or to requeue it, it does so by itself. A mere
    warning, which some clusters send before they preempt, leaves that to the job.
    """
    job = os.environ["SLURM_JOB_ID"]
    state = re.search(r"JobState=(\w+)", _ask("scontrol", "show", "job", job))
    if state is not None and state[1] == "RUNNING":
        _ask("scontrol", "requeue", job)
    sys.exit(1)


def _ask(program: str, *arguments: str) -> str:
    """Output of one of Slurm's programs; empty where that is not to be had."""
    if shutil.which(program) is None:
        return ""
    return subprocess.run([program, *arguments], capture_output=True, text=True).stdout
