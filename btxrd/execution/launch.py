"""A sweep from its plan to its exit status, however it ends."""

import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from btxrd.artifacts.plan import read_plan
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.preflight import Findings, check_runs
from btxrd.execution.status import LOCK, is_done
from btxrd.execution.stop import STOP, is_stopped, record_launch, request_stop
from btxrd.execution.supervisor import PATIENCE
from btxrd.runtime.files import lock

MOMENT = 5  # seconds in which a process that was killed is gone
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def check(runs: dict[Path, Config], *, fail_fast: bool) -> Findings:
    """Check runs, and tell what is wrong with some of them.

    Raises:
        InputError: where none could be done, and with `fail_fast` for the first fault.
    """
    found = check_runs(runs)
    for run_dir in found.complete:
        print(f"{run_dir}: complete already")
    for line in found.lines[1:]:
        print(line, file=sys.stderr)
    if found.lines:
        if fail_fast or len(found.refused) + len(found.faults) == len(runs):
            raise InputError(found.lines[0])
        print(found.lines[0], file=sys.stderr)
    return found


def launch(
    sweep_dir: Path,
    run_dirs: list[Path],
    found: Findings,
    start: Callable[[], None],
    *,
    at_once: int,
    may_restart: bool,
    command: str,
    images: bool,
    summarize: Callable[[], bool],
) -> int:
    """Do the runs of a sweep that are not complete; its summary is written however that ends.

    Args:
        sweep_dir: of the sweep.
        run_dirs: of its runs; empty where a search makes them up.
        found: by `check`.
        start: starts Hydra.
        at_once: how many runs are done side by side.
        command: what was typed.
        images: whether the page shows films.
        summarize: writes the summary; returns whether all runs are complete.
        may_restart: whether runs that the launcher drops are at rest, and can be started again.

    Returns:
        The exit status: 0 all complete, 1 some not, 128 + N ended by signal N.

    Raises:
        InputError: where another process is at it.
    """
    with _alone(sweep_dir):
        names = {run_dir: run_dir.relative_to(sweep_dir).as_posix() for run_dir in run_dirs}
        refused = {names[run_dir]: why for run_dir, why in found.refused.items()}
        (sweep_dir / STOP).unlink(missing_ok=True)
        record_launch(sweep_dir, list(names.values()), refused, at_once, command, images)
        received: list[int] = []
        code = 0
        if not run_dirs or len(found.complete) + len(refused) < len(run_dirs):
            with _stopping_in_order(sweep_dir, received):
                code = _start(sweep_dir, run_dirs if may_restart else [], start)
        all_complete = summarize()
        if received:
            return 128 + received[0]
        return 0 if all_complete and code == 0 else 1


@contextmanager
def _alone(sweep_dir: Path) -> Iterator[None]:
    """Keep other processes from doing the same sweep."""
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"hydra.sweep.dir={sweep_dir}: {error.strerror}") from error
    with lock(sweep_dir / LOCK, MOMENT) as handle:
        if handle is None:
            raise InputError(
                f"{sweep_dir}: process {read_plan(sweep_dir).pid} is doing this sweep; "
                "wait for it, end it, or name another hydra.sweep.dir"
            )
        yield


def _start(sweep_dir: Path, run_dirs: list[Path], start: Callable[[], None]) -> int:
    """Start Hydra, and again for those of `run_dirs` that were dropped without their fault.

    Joblib drops all runs where one of its own processes is killed. Returns the last exit status.
    """
    launched = read_plan(sweep_dir).launched
    left = len(run_dirs) + 1
    while True:
        code = 0
        try:
            start()
        except (SystemExit, KeyboardInterrupt):  # Hydra has said why
            code = 1
        except InputError:
            raise
        except Exception:  # with HYDRA_FULL_ERROR=1
            traceback.print_exc()
            code = 1
        dropped = [run_dir for run_dir in run_dirs if not is_done(run_dir, launched)]
        if not dropped or len(dropped) >= left or is_stopped(sweep_dir):
            return code
        left = len(dropped)
        print(f"The launcher dropped {left} runs; they are started again", file=sys.stderr)


@contextmanager
def _stopping_in_order(sweep_dir: Path, received: list[int]) -> Iterator[None]:
    """Turn the first signal into a request to stop, a second one or a long wait into an exit.

    Args:
        sweep_dir: of the sweep.
        received: takes the number of the signal.
    """

    def receive(number: int, _: FrameType | None) -> None:
        if received:
            sys.exit(128 + received[0])
        received.append(number)
        request_stop(sweep_dir, signal.Signals(number).name)
        print("Ending: runs save what they have; once more ends at once", file=sys.stderr)
        signal.alarm(PATIENCE + 30)

    for number in (*ENDING, signal.SIGALRM):
        under_nohup = number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
        if not under_nohup:
            signal.signal(number, receive)
    try:
        yield
    finally:
        signal.alarm(0)
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)  # the summary is being written
