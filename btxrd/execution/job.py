"""Execute runs on this machine, one at a time or in parallel."""

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from btxrd.artifacts.plan import read_plan
from btxrd.artifacts.status import read_status
from btxrd.config import plugins
from btxrd.config.jobspec import Context, JobSpec
from btxrd.config.plugins import Job, Result
from btxrd.config.request import Point, Shown
from btxrd.errors import InputError
from btxrd.execution.planning import Plan
from btxrd.execution.status import has_failed, runs_in_state, state_of
from btxrd.execution.stop import Stop, is_stopped, request_stop
from btxrd.execution.supervisor import POLL_SECONDS, supervise
from btxrd.execution.table import Display
from btxrd.runtime import slurm
from btxrd.runtime.placement import Placement, placements


class NoObjectiveError(RuntimeError):
    """Error that tells a search that a run has no objective."""


@dataclass(frozen=True)
class Sweep:
    """State that the active runs of a sweep share.

    Attributes:
        folder: Folder of the sweep.
        launch: Name of this call, as in plan.json.
        is_search: Whether a sweeper chooses the next runs by the objectives of these.
        at_once: Number of parallel runs.
        display: Terminal on which a table of the runs is shown; None without one.
        killing: Event that is set when all runs must end without saving.
    """

    folder: Path
    launch: str
    is_search: bool = False
    at_once: int = 1
    display: Display | None = None
    killing: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> Stop:
        """Return whether the runs must stop."""
        if self.killing.is_set():
            return Stop.AT_ONCE
        return Stop.SAVING if is_stopped(self.folder) else Stop.NO


@dataclass(frozen=True)
class Work:
    """A run to do; `spec` describes it once it starts, and `number` tells its log lines apart."""

    run_dir: Path
    spec: Callable[[], JobSpec]
    number: int | None = None


def do_points(
    plan: Plan, points: Sequence[tuple[Path, Point]], sweep: Sweep, job: Job, first: int = 0
) -> list[Result]:
    """Execute runs of a sweep, on this machine or with the selected launcher plugin.

    Args:
        plan: Plan of the command.
        points: The runs with their folders.
        sweep: The sweep that the runs belong to.
        job: Function with which a plugin executes one run.
        first: Number of the first of these runs in the sweep.

    Returns:
        The objective of each run, or the exception if it has none.
    """
    if plan.launcher.is_local:
        shown: Shown = "warnings" if sweep.display else "numbered"
        if sweep.at_once == 1 and sweep.display is None:
            shown = "all"
        works = [
            Work(at, partial(point.spec, at, number, shown=shown), number)
            for number, (at, point) in enumerate(points, first)
        ]
        states = do_runs(works, sweep, use_gpus=plan.use_gpus)
        return [objective_of(at, state) for (at, _), state in zip(points, states, strict=True)]
    asks_for_gpu = plan.launcher.is_of_slurm and plan.launcher.gpus is None and plan.use_gpus
    settings = {"gpus_per_node": 1} if asks_for_gpu and slurm.has_gpus() else {}
    names = [run_dir.relative_to(sweep.folder).as_posix() for run_dir, _ in points]
    runs = [point for _, point in points]
    return plugins.launch(plan.request, runs, names, job, settings, first)


def do_one(run_dir: Path, job: JobSpec) -> str:
    """Execute a run outside a sweep, and return its state."""
    (placement,) = placements(1, use_gpus=False)
    return _answer(run_dir, partial(supervise, run_dir, job, placement, lambda: Stop.NO))


def do_runs(works: Sequence[Work], sweep: Sweep, *, use_gpus: bool) -> list[str]:
    """Execute the runs of a sweep, `at_once` of them in parallel. Return their states.

    An exception in the main thread, for example after a second signal, kills all active runs.
    """
    free: queue.PriorityQueue[tuple[int, Placement]] = queue.PriorityQueue()
    for numbered in enumerate(placements(sweep.at_once, use_gpus=use_gpus)):
        free.put(numbered)

    def do(work: Work) -> str:
        number, placement = free.get()
        try:
            return _do(work, sweep, placement)
        finally:
            free.put((number, placement))

    with ThreadPoolExecutor(sweep.at_once) as pool:
        try:
            return [_wait(future) for future in [pool.submit(do, work) for work in works]]
        except BaseException:
            sweep.killing.set()
            raise


def _wait(future: Future[str]) -> str:
    """Return the result of a future. Wait in short steps, between which Windows handles signals."""
    while not future.done():
        wait([future], POLL_SECONDS)
    return future.result()


def _do(work: Work, sweep: Sweep, placement: Placement) -> str:
    """Execute a run, unless it failed in this call or the sweep must stop."""
    run_dir = work.run_dir
    if sweep.stop() != Stop.NO or has_failed(run_dir, sweep.launch):
        return state_of(run_dir)
    if work.number is not None and sweep.display is None:
        print(f"#{work.number}: {run_dir}", flush=True)
    job = work.spec()
    output = sweep.display.forward if sweep.display else None
    doing = partial(supervise, run_dir, job, placement, sweep.stop, sweep.launch, output)
    state = _answer(run_dir, doing)
    if state == "failed":
        _limit_failures(run_dir, job, sweep)
    return state


def _limit_failures(run_dir: Path, job: JobSpec, sweep: Sweep) -> None:
    """Stop the sweep if no further failure is allowed."""
    if job.config.fail_fast:
        request_stop(sweep.folder, f"{run_dir.name} failed")
    elif sweep.is_search:
        count, limit = len(runs_in_state("failed", sweep.folder)), job.config.max_failed
        if count > limit:
            request_stop(sweep.folder, f"{count} runs failed, max_failed={limit}")


def _answer(run_dir: Path, doing: Callable[[], str]) -> str:
    """Supervise a run, and return its state. Print the reason if it was not executed."""
    try:
        state = doing()
    except (InputError, OSError) as error:  # another config, or a folder that is not writable
        print(f"{run_dir}: not executed ({error})", file=sys.stderr)
        return "refused"
    if state == "running":
        print(f"{run_dir}: not executed (another process is executing it)", file=sys.stderr)
    return state


def objective_of(run_dir: Path, state: str) -> float | NoObjectiveError:
    """Return the objective of a run on val, or the exception if it has none."""
    status = read_status(run_dir) if state == "complete" else None
    if status is None:
        return NoObjectiveError(f"{run_dir.name}: {state}")
    if status.val_macro_auc is None:
        return NoObjectiveError(f"{run_dir.name}: has no val macro AUC")
    return status.val_macro_auc


def do_job(run_dir: Path, job: JobSpec, context: Context) -> float | None:
    """Execute a run in a process that a launcher plugin started, and return its objective.

    Raises:
        NoObjectiveError: In a search, if the run is not complete.
        SystemExit: If the job must end without a result.
    """
    sweep_dir = context.sweep_dir
    sweep = Sweep(sweep_dir, read_plan(sweep_dir).launch, context.is_search)
    (state,) = do_runs([Work(run_dir, lambda: job)], sweep, use_gpus=False)
    is_over = sweep.stop() != Stop.NO
    if state != "complete" and is_over and context.is_search:
        while runs_in_state("running", sweep_dir):  # until they have saved their state
            time.sleep(POLL_SECONDS)
        sys.exit(1)  # no result: a search tries this run again
    if state == "interrupted" and not is_over and slurm.is_job():
        slurm.end_to_go_on()
    objective = objective_of(run_dir, state)
    if isinstance(objective, float):
        return objective
    if context.is_search:
        raise objective
    return None
