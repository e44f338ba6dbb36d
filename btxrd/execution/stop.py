"""The start and the stop of a sweep: what plan.json records of a call, and the stop file."""

import os
from datetime import UTC, datetime
from pathlib import Path

from btxrd.artifacts.plan import SweepPlan, read_plan, write_plan
from btxrd.execution.status import stamp
from btxrd.runtime.files import write_text

STOP = "stop"


def record_launch(
    sweep_dir: Path,
    names: list[str],
    refused: dict[str, str] | None = None,
    at_once: int = 1,
    command: str = "",
    images: bool = True,
) -> None:
    """Record in plan.json which runs a call does; the runs of earlier calls stay planned."""
    runs = tuple(dict.fromkeys([*read_plan(sweep_dir).runs, *names]))
    launched = stamp(datetime.now(UTC))
    plan = SweepPlan(runs, refused or {}, launched, at_once, os.getpid(), command, images)
    write_plan(sweep_dir, plan)


def request_stop(sweep_dir: Path, reason: str) -> None:
    """Ask a sweep to stop: active runs save their state, and no other run starts."""
    write_text(sweep_dir / STOP, reason + "\n")


def is_stopped(sweep_dir: Path) -> bool:
    """Return whether a sweep was asked to stop."""
    return (sweep_dir / STOP).exists()
