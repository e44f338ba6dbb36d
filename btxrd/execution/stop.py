"""The start and the stop of a sweep: what plan.json records of a call, and the stop file."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

from btxrd.artifacts.plan import SweepPlan, read_plan, write_plan
from btxrd.execution.status import stamp
from btxrd.runtime.files import write_text

STOP = "stop"


class Stop(IntEnum):
    """Whether a run is to stop: no; after it has saved its state; or at once."""

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
) -> None:
    """Record in plan.json which runs a call does; the runs of earlier calls stay planned.

    A run that version 0.1 planned in nested folders, and never began, is planned in one folder now.
    """
    earlier = [
        name
        for name in read_plan(sweep_dir).runs
        if name in names or name.replace("/", ".") not in names
    ]
    runs = tuple(dict.fromkeys([*earlier, *names]))
    launched = stamp(datetime.now(UTC))
    plan = SweepPlan(runs, refused or {}, launched, at_once, os.getpid(), command, images)
    write_plan(sweep_dir, plan)


def request_stop(sweep_dir: Path, reason: str) -> None:
    """Ask a sweep to stop: active runs save their state, and no other run starts."""
    write_text(sweep_dir / STOP, reason + "\n")


def is_stopped(sweep_dir: Path) -> bool:
    """Return whether a sweep was asked to stop."""
    return (sweep_dir / STOP).exists()
