"""Supervise a run in its own process, so that a crash of the run does not end the sweep."""

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from btxrd.config.jobspec import LOG, JobSpec
from btxrd.execution.record import begin, settle
from btxrd.execution.status import LOCK, is_complete
from btxrd.execution.stop import Stop
from btxrd.runtime.files import lock, write_text
from btxrd.runtime.interruption import ASKING
from btxrd.runtime.placement import Placement
from btxrd.runtime.slurm import is_job

STOPPING = "Stopping: {} state. Interrupt again to quit immediately."
POLL_SECONDS = 0.2
PATIENCE = 60  # seconds for a run to save its state and end, and to wait for another process


def supervise(
    run_dir: Path,
    job: JobSpec,
    placement: Placement,
    stop: Callable[[], Stop],
    launch: str | None = None,
    forward: Callable[[IO[bytes]], Any] | None = None,
) -> str:
    """Execute a run in its own process, and ensure that its final status is recorded.

    The process has ended when this function returns or raises an exception. After an exception,
    such as one that a signal causes, the process is first asked to save its state.

    Args:
        run_dir: Folder of the run.
        job: Description of the run.
        placement: Cores and GPU of the run.
        stop: Function that is called repeatedly and returns whether the run must stop.
        launch: Identifier of the command that the run belongs to.
        forward: Function that takes the output of the run. None means that the run writes to the
            output of this process.

    Returns:
        The state of the run, or `running` if another process is executing it.

    Raises:
        InputError: If the folder contains a complete run of another config.
    """
    if is_complete(run_dir, job.config):
        return "complete"
    timeout = math.inf if is_job() else PATIENCE  # an earlier Slurm job may hold it for hours
    with lock(run_dir / LOCK, timeout, lambda: stop() != Stop.NO) as handle:
        if handle is None:
            return "running"
        if is_complete(run_dir, job.config):  # another process has completed it
            return "complete"
        start = time.monotonic()
        begin(
            run_dir,
            job.config,
            job.choices,
            threads=placement.threads,
            gpu=placement.gpu,
            launch=launch,
        )
        for name, text in job.record.items():
            write_text(run_dir / ".hydra" / name, text)
        log = run_dir / LOG
        log_from = log.stat().st_size if log.is_file() else 0
        process = _start(run_dir, job, placement, handle, takes_output=forward is not None)
        if forward is not None and process.stdout is not None:
            forward(process.stdout)
        try:
            while (code := _poll(process)) is None:
                if stop() != Stop.NO:
                    code = _end(process, stop)
                    break
        except BaseException:
            is_ended = process.poll() is not None
            if not is_ended:
                with suppress(OSError):  # the terminal may be closed
                    print(STOPPING.format("the run is saving its"), file=sys.stderr, flush=True)
            code = -signal.SIGTERM if is_ended else _end(process, stop)
            settle(run_dir, code, time.monotonic() - start)
            raise
        return settle(run_dir, code, time.monotonic() - start, log_from)


def _start(
    run_dir: Path, job: JobSpec, placement: Placement, handle: int, *, takes_output: bool
) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "btxrd.execution.worker", str(run_dir)],
        stdin=subprocess.PIPE,  # stays open: the worker ends when it closes
        stdout=subprocess.PIPE if takes_output else None,
        stderr=subprocess.STDOUT if takes_output else None,
        env=os.environ | job.environment | placement.environment,
        **_options(handle),
    )
    assert process.stdin is not None
    try:
        pickle.dump(job, process.stdin)
        process.stdin.flush()
    except OSError:  # the process has already ended, and its exit status tells how
        pass
    return process


def _options(handle: int) -> dict[str, Any]:
    """Return the options of the process of a run that depend on the system.

    On Windows, a process cannot inherit a lock, and needs a group of its own to receive ASKING.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"pass_fds": [handle]}


def _poll(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end(process: "subprocess.Popen[bytes]", stop: Callable[[], Stop]) -> int:
    """Ask a run to save its state and end. Return its exit status, or -SIGTERM if it was killed.

    It is killed if it takes too long, if it must stop at once, or if an exception occurs here.
    """
    with suppress(OSError):  # Windows cannot send ASKING without a console
        process.send_signal(ASKING)
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline and stop() != Stop.AT_ONCE:
            if (code := _poll(process)) is not None:
                return code
        return -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
