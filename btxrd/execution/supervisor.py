"""A run in a process of its own, so that whatever becomes of it, the sweep goes on."""

import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from btxrd.config.jobspec import JobSpec
from btxrd.execution.placement import Placement
from btxrd.execution.record import begin, settle
from btxrd.execution.slurm import is_job
from btxrd.execution.status import LOCK, LOG, is_complete
from btxrd.runtime.files import lock, write_text

POLL_SECONDS = 0.2
PATIENCE = 60  # seconds that a run has to save and end; and to wait for another that is ending


def supervise(
    run_dir: Path, job: JobSpec, placement: Placement, is_to_end: Callable[[], bool]
) -> str:
    """Do a run in a process of its own, and see to it that its end is recorded.

    Whatever ends this function ends the process of the run, which saves first: an exception
    of its own, such as a signal's, or `is_to_end`.

    Args:
        run_dir: of the run; not that of a complete run, unless of this very one.
        job: what to do.
        placement: what to run on.
        is_to_end: asked every moment.

    Returns:
        The state of the run; `running` where another process works on it.

    Raises:
        InputError: where the folder holds a complete run of another config.
    """
    if is_complete(run_dir, job.config):
        return "complete"
    timeout = math.inf if is_job() else PATIENCE  # a job of an earlier call may be at it for hours
    with lock(run_dir / LOCK, timeout) as handle:
        if handle is None:
            return "running"
        if is_complete(run_dir, job.config):  # the other has done it
            return "complete"
        begin(run_dir, job.config, job.choices, threads=placement.threads, gpu=placement.gpu)
        for name, text in job.record.items():
            write_text(run_dir / ".hydra" / name, text)
        log = run_dir / LOG
        log_from = log.stat().st_size if log.is_file() else 0
        process = _start(run_dir, job, placement, handle)
        try:
            while (code := _poll(process)) is None:
                if is_to_end():
                    code = _end(process)
                    break
        except BaseException:
            is_ended = process.poll() is not None
            settle(run_dir, -signal.SIGTERM if is_ended else _end(process))
            raise
        return settle(run_dir, code, log_from)


def _start(
    run_dir: Path, job: JobSpec, placement: Placement, handle: int
) -> "subprocess.Popen[bytes]":
    held = [descriptor for descriptor in (handle, placement.lock) if descriptor is not None]
    process = subprocess.Popen(
        [sys.executable, "-m", "btxrd.execution.worker", str(run_dir)],
        stdin=subprocess.PIPE,  # stays open: the worker ends when it closes
        env=os.environ | placement.environment,
        pass_fds=held,
    )
    assert process.stdin is not None
    try:
        pickle.dump(job, process.stdin)
        process.stdin.flush()
    except BrokenPipeError:  # it ended already; its exit status tells how
        pass
    return process


def _poll(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Ask a run to save and end; returns its exit status, SIGTERM's if it had to be killed.

    An exception, such as a second signal's, kills it.
    """
    process.terminate()
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
