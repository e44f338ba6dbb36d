"""One job of a launcher: skipped, refused, or placed and supervised."""

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from btxrd.errors import InputError
from btxrd.sweep import ledger
from btxrd.sweep.placement import slot
from btxrd.sweep.plan import is_stopped, read_plan, request_stop
from btxrd.sweep.supervisor import Order, supervise

log = logging.getLogger(__name__)


class RunError(RuntimeError):
    """Tells a search that a run has no objective."""


@dataclass(frozen=True)
class Context:
    """Where a job runs.

    Attributes:
        sweep_dir: of the sweep; None for a single run.
        launcher: the last part of its class's name: `BasicLauncher`, `JoblibLauncher`, ...
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
    state = _do(run_dir, order, context.sweep_dir)
    if state == "complete":
        status = ledger.read_status(run_dir)
        return None if status is None else status["val_macro_auc"]
    if context.sweep_dir is None:
        sys.exit(1)
    if state == "failed" and order.config.fail_fast:
        request_stop(context.sweep_dir, f"{run_dir.name} failed")
    if is_stopped(context.sweep_dir):
        if context.launcher == "BasicLauncher":
            sys.exit(1)
    elif state == "interrupted" and "SLURM_JOB_ID" in os.environ:
        sys.exit(1)  # no result: Slurm starts this job again
    if context.is_search:
        raise RunError(f"{run_dir.name}: {state}")
    return None


def _do(run_dir: Path, order: Order, sweep_dir: Path | None) -> str:
    config = order.config
    at_once = 1
    if sweep_dir is not None:
        plan = read_plan(sweep_dir)
        at_once = plan.at_once
        if is_stopped(sweep_dir) or ledger.was_tried(run_dir, plan.launched):
            status = ledger.read_status(run_dir)
            return "missing" if status is None else str(status["state"])
    with slot(sweep_dir or run_dir, at_once, use_gpus=config.device in ("auto", "cuda")) as place:
        try:
            return supervise(run_dir, order, place, sweep_dir)
        except InputError as error:
            log.error("Refused: %s", error)
            return "refused"
