"""A run in a process of its own, so that whatever becomes of it, the sweep goes on."""

import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btxrd.files import holding, write_text
from btxrd.schema import Config
from btxrd.sweep import ledger
from btxrd.sweep.placement import Placement
from btxrd.sweep.record import begin, settle
from btxrd.sweep.slurm import is_job

LOOK = 0.2  # seconds between two looks at a run
PATIENCE = 60  # seconds that a run has to save and end; and to wait for another that is ending


@dataclass(frozen=True)
class Order:
    """What the process of a run is told.

    Attributes:
        config: of the run.
        choices: the config group options it was composed from.
        logging: a dictionary for `logging.config`.
        record: the files of `.hydra/`, by name.
    """

    config: Config
    choices: dict[str, str]
    logging: Any
    record: dict[str, str]


def supervise(
    run_dir: Path, order: Order, placement: Placement, is_to_end: Callable[[], bool]
) -> str:
    """Do a run in a process of its own, and see to it that its end is recorded.

    Whatever ends this function ends the process of the run, which saves first: an exception
    of its own, such as a signal's, or `is_to_end`.

    Args:
        run_dir: of the run; not that of a complete run, unless of this very one.
        order: what to do.
        placement: what to run on.
        is_to_end: asked every moment.

    Returns:
        The state of the run; `running` where another process works on it.

    Raises:
        InputError: where the folder holds a complete run of another config.
    """
    if ledger.is_complete(run_dir, order.config):
        return "complete"
    patience = math.inf if is_job() else PATIENCE  # a job of an earlier call may be at it for hours
    with holding(run_dir / ledger.LOCK, patience) as lock:
        if lock is None:
            return "running"
        if ledger.is_complete(run_dir, order.config):  # the other has done it
            return "complete"
        given = {"threads": placement.threads, "gpu": placement.gpu}
        begin(run_dir, order.config, order.choices, given)
        for name, text in order.record.items():
            write_text(run_dir / ".hydra" / name, text)
        log = run_dir / ledger.LOG
        log_from = log.stat().st_size if log.is_file() else 0
        process = _start(run_dir, order, placement, lock)
        try:
            while (code := _look(process)) is None:
                if is_to_end():
                    code = _end(process)
                    break
        except BaseException:
            is_ended = process.poll() is not None
            settle(run_dir, -signal.SIGTERM if is_ended else _end(process))
            raise
        return settle(run_dir, code, log_from)


def _start(
    run_dir: Path, order: Order, placement: Placement, lock: int
) -> "subprocess.Popen[bytes]":
    held = [descriptor for descriptor in (lock, placement.lock) if descriptor is not None]
    process = subprocess.Popen(
        [sys.executable, "-m", "btxrd.sweep.worker", str(run_dir)],
        stdin=subprocess.PIPE,  # stays open: the worker ends when it closes
        env=os.environ | placement.environment,
        pass_fds=held,
    )
    assert process.stdin is not None
    try:
        pickle.dump(order, process.stdin)
        process.stdin.flush()
    except BrokenPipeError:  # it ended already; its exit status tells how
        pass
    return process


def _look(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(LOOK)
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
