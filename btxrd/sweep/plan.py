"""What a sweep is to hold, and whether it is asked to stop: two files beside its runs."""

import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from btxrd.files import read_json, write_json, write_text

PLAN, STOP = "plan.json", "stop"


@dataclass
class SweepPlan:
    """The content of plan.json.

    Attributes:
        runs: names of the runs, those of earlier calls too, in the order of the calls.
        refused: why the folder of a run was left alone in the last call, by name.
        launched: when the last call began.
        at_once: how many runs the last call does side by side.
        pid: of its process.
        command: what was typed in the last call, without the name of the program.
        images: whether the page shows films.
    """

    runs: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    launched: str = ""
    at_once: int = 1
    pid: int = 0
    command: str = ""
    images: bool = True


def read_plan(sweep_dir: Path) -> SweepPlan:
    """Read plan.json; an empty plan where there is none."""
    path = sweep_dir / PLAN
    return SweepPlan(**read_json(path)) if path.is_file() else SweepPlan()


def write_plan(
    sweep_dir: Path,
    names: list[str],
    refused: dict[str, str] | None = None,
    at_once: int = 1,
    command: str = "",
    images: bool = True,
) -> None:
    """Note which runs a sweep is to hold; those of earlier calls stay planned."""
    known = read_plan(sweep_dir).runs
    runs = known + [name for name in names if name not in known]
    launched = datetime.now(UTC).isoformat(timespec="milliseconds")
    plan = SweepPlan(runs, refused or {}, launched, at_once, os.getpid(), command, images)
    write_json(sweep_dir / PLAN, asdict(plan))


def request_stop(sweep_dir: Path, reason: str) -> None:
    """Ask a sweep to end: runs save and end, and no other is begun."""
    write_text(sweep_dir / STOP, reason + "\n")


def is_stopped(sweep_dir: Path) -> bool:
    """Tell whether a sweep was asked to end."""
    return (sweep_dir / STOP).exists()
