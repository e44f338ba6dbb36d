"""The start and the stop of a sweep: the record of a command in plan.json, and the stop file."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from uuid import uuid4

from btxrd.artifacts.plan import PLAN, SweepPlan, read_plan, write_plan
from btxrd.errors import DamagedError
from btxrd.execution.status import stamp
from btxrd.runtime.files import free_name, write_text

STOP = "stop"


class Stop(IntEnum):
    """Whether a run must stop: not at all, after it has saved its state, or at once."""

    NO = 0
    SAVING = 1
    AT_ONCE = 2


def record_launch(
    sweep_dir: Path,
    names: Sequence[str],
    refused: dict[str, str] | None = None,
    at_once: int = 1,
    command: str = "",
    images: bool = True,
    margin: float = SweepPlan.margin,
) -> str:
    """Record the runs of this command in plan.json. Those of earlier commands stay in it.

    A run that version 0.1 planned in nested folders, and that never started, is now planned in one
    folder. A damaged plan is kept under another name.

    Args:
        sweep_dir: Folder of the sweep.
        names: Names of the runs.
        refused: Reasons for which runs are refused, by name.
        at_once: Number of parallel runs.
        command: Arguments of the command.
        images: Whether the report shows images.
        margin: Smallest difference in macro AUC that matters.

    Returns:
        A new identifier of the command.
    """
    earlier = [
        name
        for name in _plan_to_replace(sweep_dir).runs
        if name in names or name.replace("/", ".") not in names
    ]
    runs = tuple(dict.fromkeys([*earlier, *names]))
    launched = stamp(datetime.now(UTC))
    launch = uuid4().hex
    plan = SweepPlan(
        runs=runs,
        refused=refused or {},
        launched=launched,
        at_once=at_once,
        pid=os.getpid(),
        command=command,
        images=images,
        launch=launch,
        margin=margin,
        started_in=str(Path.cwd()),
    )
    write_plan(sweep_dir, plan)
    return launch


def _plan_to_replace(sweep_dir: Path) -> SweepPlan:
    try:
        return read_plan(sweep_dir)
    except (DamagedError, OSError) as error:
        kept = free_name(sweep_dir / f"{PLAN}.damaged")
        (sweep_dir / PLAN).rename(kept)
        print(f"{error}; it was moved to {kept.name}", file=sys.stderr)
        return SweepPlan()


def request_stop(sweep_dir: Path, reason: str) -> None:
    """Ask a sweep to stop: active runs save their state, and no other run starts."""
    write_text(sweep_dir / STOP, reason + "\n")


def is_stopped(sweep_dir: Path) -> bool:
    """Return whether a sweep was asked to stop."""
    return (sweep_dir / STOP).exists()
