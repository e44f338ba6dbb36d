"""One job of a launcher: skipped, refused, or placed and supervised."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from btxrd.errors import InputError
from btxrd.sweep import ledger, slurm
from btxrd.sweep.placement import slot
from btxrd.sweep.plan import is_stopped, read_plan, request_stop
from btxrd.sweep.supervisor import LOOK, Order, supervise

BASIC, JOBLIB = "BasicLauncher", "JoblibLauncher"


class RunError(RuntimeError):
    """Tells a search that a run has no objective."""


@dataclass(frozen=True)
class Context:
    """Where a job runs.

    Attributes:
        sweep_dir: of the sweep; None for a single run.
        launcher: the name of its class.
        is_search: whether a sweeper makes up the next runs by what this one returns.
    """

    sweep_dir: Path | None
    launcher: str
    is_search: bool


def do_job(run_dir: Path, order: Order, context: Context) -> float | None:
    """Do a run, unless it was done or the sweep is to end; returns its objective on val.

    Raises:
        RunError: in a search, for a run that is not complete.
        SystemExit: where this process is to do no further run.
    """
    if context.sweep_dir is None:
        state = _supervise(run_dir, order, run_dir, 1, lambda: False)
        return _objective(run_dir) if state == "complete" else sys.exit(1)
    sweep_dir, plan = context.sweep_dir, read_plan(context.sweep_dir)
    is_joblib = context.launcher == JOBLIB
    if is_joblib:
        for number in (signal.SIGINT, signal.SIGTERM):  # the process that launched us passes it on
            signal.signal(number, signal.SIG_IGN)

    def is_over() -> bool:
        return is_stopped(sweep_dir) or (is_joblib and os.getppid() != plan.pid)

    if is_over() or ledger.is_done(run_dir, plan.launched):
        status = ledger.read_status(run_dir)
        state = "missing" if status is None else str(status["state"])
    else:
        state = _supervise(run_dir, order, sweep_dir, plan.at_once, is_over)
    if state == "complete":
        objective = _objective(run_dir)
        if context.is_search and objective is None:
            raise RunError(f"{run_dir.name}: has no val macro AUC")
        return objective
    failed = ledger.in_state("failed", sweep_dir)
    if failed and order.config.fail_fast:
        request_stop(sweep_dir, f"{run_dir.name} failed")
    if context.is_search and len(failed) > order.config.max_failed:
        request_stop(sweep_dir, f"{len(failed)} runs failed, max_failed={order.config.max_failed}")
    if is_joblib and os.getppid() != plan.pid:
        os._exit(1)  # the process that launched us is gone, and joblib would wait for it
    if is_over() and (context.launcher == BASIC or context.is_search):
        while ledger.in_state("running", sweep_dir):  # they are saving
            time.sleep(LOOK)
        sys.exit(1)  # no result: a search tries this run again
    if state == "interrupted" and not is_over() and slurm.is_job():
        slurm.end_to_go_on()
    if context.is_search:
        raise RunError(f"{run_dir.name}: {state}")
    return None


def _supervise(
    run_dir: Path, order: Order, sweep_dir: Path, at_once: int, is_over: Callable[[], bool]
) -> str:
    use_gpus = order.config.device in ("auto", "cuda")
    with slot(sweep_dir, at_once, use_gpus=use_gpus) as placement:
        try:
            return supervise(run_dir, order, placement, is_over)
        except (InputError, OSError) as error:  # of another config, or nothing can be written
            print(f"{run_dir}: not done ({error})", file=sys.stderr)
            return "refused"


def _objective(run_dir: Path) -> float | None:
    status = ledger.read_status(run_dir)
    return None if status is None else status["val_macro_auc"]
