"""Launch a sweep: check its runs, execute them, write the summary, and return the exit status."""

import _thread
import logging
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from btxrd.artifacts.plan import read_usable_plan
from btxrd.config.plugins import Job
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.ahead.preflight import Findings, check_runs
from btxrd.execution.job import Sweep, do_points
from btxrd.execution.planning import Plan
from btxrd.execution.search import search
from btxrd.execution.status import LOCK
from btxrd.execution.stop import STOP, record_launch, request_stop
from btxrd.execution.supervisor import PATIENCE, STOPPING
from btxrd.execution.table import Display, RunTable
from btxrd.runtime.files import atomic_write, lock, remove_abandoned, write_text
from btxrd.runtime.interruption import signals

log = logging.getLogger(__name__)

MOMENT = 5  # seconds to wait for a killed process to release its lock
ENDING = signals("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def check(runs: dict[Path, Config], *, fail_fast: bool, is_local: bool = True) -> Findings:
    """Check runs, and print the errors of those that cannot be executed; see `check_runs`.

    Raises:
        InputError: If no run can be executed, or with `fail_fast` if one cannot.
    """
    found = check_runs(runs, is_local=is_local)
    for run_dir in found.complete:
        print(f"{run_dir}: complete already")
    for line in found.lines[:-1]:
        print(line, file=sys.stderr)
    if found.lines:
        if fail_fast or len(found.refused) + len(found.faults) == len(runs):
            raise InputError(found.lines[-1])
        print(found.lines[-1], file=sys.stderr)
    for line in found.warnings:
        print(line, file=sys.stderr)
    return found


def launch(
    plan: Plan,
    found: Findings,
    at_once: int,
    command: str,
    job: Job,
    summarize: Callable[[], bool],
) -> int:
    """Execute the incomplete runs of a sweep, and then write its summary.

    The summary is also written after a failure and after a first signal. It is not written after a
    second signal or if this process is killed.

    Args:
        plan: Plan of the command.
        found: Result of `check`.
        at_once: Number of parallel runs on this machine.
        command: Arguments of the command.
        job: Function with which a launcher plugin executes one run.
        summarize: Function that writes the summary and returns whether all runs are complete.

    Returns:
        The exit status: 0 if all runs are complete, 128 + N after signal N, and 1 otherwise.

    Raises:
        InputError: If another process is running this sweep.
    """
    sweep_dir = plan.folder
    with _alone(sweep_dir):
        names = {
            run_dir: run_dir.relative_to(sweep_dir).as_posix()
            for run_dir in ([] if plan.sweeper else plan.runs)
        }
        refused = {names[run_dir]: why for run_dir, why in found.refused.items()}
        planned = list(names.values())
        name = record_launch(
            sweep_dir, planned, refused, at_once, command, plan.images, plan.margin
        )
        (sweep_dir / STOP).unlink(missing_ok=True)
        write_text(sweep_dir / "multirun.yaml", plan.request.multirun)
        sweep = Sweep(sweep_dir, name, plan.sweeper is not None, at_once, Display.here())
        received: list[int] = []
        code = 0
        if plan.sweeper or len(found.complete) + len(refused) < len(names):
            runs = RunTable(plan, list(found.refused), name)
            with (
                _stopping_in_order(sweep_dir, received),
                sweep.display.showing(runs) if sweep.display else nullcontext(),
            ):
                code = _do(plan, found, sweep, job)
        all_complete = summarize()
        if received:
            return 128 + received[0]
        return 0 if all_complete and code == 0 else 1


@dataclass
class End:
    """The end of a command. With `is_over`, the same command would have nothing left to do."""

    is_over: bool = False


@contextmanager
def saying_how_to_resume(command: str) -> Iterator[End]:
    """Print the command that resumes at the end of the block, unless nothing is left to do."""
    end = End()
    try:
        yield end
    except InputError:  # no run has started
        raise
    except BaseException:
        _say(command)
        raise
    if not end.is_over:
        _say(command)


def _say(command: str) -> None:
    with suppress(OSError):  # the reader of the output may have ended
        print(f"To resume: {command}", file=sys.stderr, flush=True)


def _do(plan: Plan, found: Findings, sweep: Sweep, job: Job) -> int:
    """Execute the remaining runs. Return 1 if this stopped before its end, otherwise 0."""
    try:
        if plan.sweeper is not None:
            search(plan, sweep, job)
            return 0
        done = {*found.complete, *found.refused}
        do_points(plan, [item for item in plan.points.items() if item[0] not in done], sweep, job)
        return 0
    except SystemExit:  # the reason was printed before
        return 1
    except InputError:
        raise
    except Exception as error:  # raised by a plugin
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


@contextmanager
def _alone(sweep_dir: Path) -> Iterator[None]:
    """Hold the lock of a sweep, so that no other command runs it at the same time."""
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"hydra.sweep.dir={sweep_dir}: {error.strerror}") from error
    with lock(sweep_dir / LOCK, MOMENT) as handle:
        if handle is None:
            raise InputError(
                f"{sweep_dir}: process {read_usable_plan(sweep_dir).pid} is already running this "
                "sweep; wait for it, stop it, or set another hydra.sweep.dir"
            )
        remove_abandoned(sweep_dir)
        yield


@contextmanager
def _stopping_in_order(sweep_dir: Path, received: list[int]) -> Iterator[None]:
    """Ask the runs to stop at the first signal. Exit at a second one, or after a long wait.

    Args:
        sweep_dir: Folder of the sweep.
        received: List to which the number of the first signal is added.
    """

    def receive(number: int, _: FrameType | None) -> None:
        if received:
            sys.exit(128 + received[0])
        received.append(number)
        request_stop(sweep_dir, signal.Signals(number).name)
        print(STOPPING.format("active runs are saving their"), file=sys.stderr)
        alarm.start()

    alarm = threading.Timer(PATIENCE + 30, _thread.interrupt_main)  # acts like a second signal
    alarm.daemon = True
    for number in ENDING:
        under_nohup = number in signals("SIGHUP") and signal.getsignal(number) is signal.SIG_IGN
        if not under_nohup:
            signal.signal(number, receive)
    try:
        yield
    finally:
        alarm.cancel()
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)  # the summary is being written


def backup_checkpoints(folder: Path) -> None:
    """Copy the *.pt files in `folder` to its subfolder backup_b0_baseline/.

    An existing copy is not replaced, so the first baseline is kept.
    """
    backup = folder / "backup_b0_baseline"
    for path in sorted(folder.glob("*.pt")):
        copy = backup / path.name
        if not copy.exists():
            with atomic_write(copy) as beside:
                shutil.copy2(path, beside)
            log.info("Copied %s to %s", path, copy)
