"""One job of a launcher: skipped, refused, or placed and supervised."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from btxrd.artifacts.plan import read_plan
from btxrd.artifacts.status import read_status
from btxrd.config.jobspec import JOBLIB, Context, JobSpec
from btxrd.errors import InputError
from btxrd.execution import slurm
from btxrd.execution.placement import slot
from btxrd.execution.status import has_failed, runs_in_state, state_of
from btxrd.execution.stop import is_stopped, request_stop
from btxrd.execution.supervisor import POLL_SECONDS, supervise


class RunError(RuntimeError):
    """Tells a search that a run has no objective."""


def do_job(run_dir: Path, job: JobSpec, context: Context) -> float | None:
    """Do a run, unless it was done or the sweep is to end; returns its objective on val.

    Raises:
        RunError: in a search, for a run that is not complete.
        SystemExit: where this process is to do no further run.
    """
    if context.sweep_dir is None:
        state = _supervise(run_dir, job, run_dir, 1, lambda: False)
        return _objective(run_dir, context) if state == "complete" else sys.exit(1)
    sweep_dir, plan = context.sweep_dir, read_plan(context.sweep_dir)
    is_of_joblib = context.launcher == JOBLIB and os.getpid() != plan.pid  # one by one it has none
    if is_of_joblib:
        for number in (signal.SIGINT, signal.SIGTERM):  # the process that launched us passes it on
            signal.signal(number, signal.SIG_IGN)

    def is_orphan() -> bool:
        return is_of_joblib and os.getppid() != plan.pid

    def is_over() -> bool:
        return is_stopped(sweep_dir) or is_orphan()

    if is_over() or has_failed(run_dir, plan.launched):
        state = state_of(run_dir)
    else:
        state = _supervise(run_dir, job, sweep_dir, plan.at_once, is_over)
    if state == "complete":
        return _objective(run_dir, context)
    if state == "failed":
        _limit_failures(run_dir, job, context, sweep_dir)
    if is_orphan():
        os._exit(1)  # joblib would wait for the process that launched us
    if is_over() and (os.getpid() == plan.pid or context.is_search):
        while runs_in_state("running", sweep_dir):  # they are saving
            time.sleep(POLL_SECONDS)
        sys.exit(1)  # no result: a search tries this run again
    if state == "interrupted" and not is_over() and slurm.is_job():
        slurm.end_to_go_on()
    if context.is_search:
        raise RunError(f"{run_dir.name}: {state}")
    return None


def _limit_failures(run_dir: Path, job: JobSpec, context: Context, sweep_dir: Path) -> None:
    """Stop the sweep where no further failure is to be borne."""
    if job.config.fail_fast:
        request_stop(sweep_dir, f"{run_dir.name} failed")
    elif context.is_search:
        count, limit = len(runs_in_state("failed", sweep_dir)), job.config.max_failed
        if count > limit:
            request_stop(sweep_dir, f"{count} runs failed, max_failed={limit}")


def _supervise(
    run_dir: Path, job: JobSpec, sweep_dir: Path, at_once: int, is_over: Callable[[], bool]
) -> str:
    use_gpus = job.config.device in ("auto", "cuda")
    with slot(sweep_dir, at_once, use_gpus=use_gpus) as placement:
        try:
            state = supervise(run_dir, job, placement, is_over)
        except (InputError, OSError) as error:  # of another config, or nothing can be written
            print(f"{run_dir}: not done ({error})", file=sys.stderr)
            return "refused"
    if state == "running":
        print(f"{run_dir}: not done (another process is doing it)", file=sys.stderr)
    return state


def _objective(run_dir: Path, context: Context) -> float | None:
    status = read_status(run_dir)
    objective = None if status is None else status.val_macro_auc
    if objective is None and context.is_search:
        raise RunError(f"{run_dir.name}: has no val macro AUC")
    return objective
