"""plan.json: the runs that a sweep consists of."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from btxrd.artifacts import codec

PLAN = "plan.json"


@dataclass(frozen=True)
class SweepPlan(codec.Artifact):
    """Content of plan.json.

    Attributes:
        runs: Names of the runs, those of earlier calls included, in the order of the calls.
        refused: Why the last call left the folder of a run alone, by its name.
        launched: Start of the last call, in ISO 8601 with milliseconds, UTC.
        at_once: Number of parallel runs in the last call.
        pid: Process of the last call.
        command: Arguments of the last call.
        images: Whether the report may show images.
    """

    FORMAT: ClassVar[int] = 2

    runs: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    launched: str = ""
    at_once: int = 1
    pid: int = 0
    command: str = ""
    images: bool = True


def read_plan(sweep_dir: Path) -> SweepPlan:
    """Read the plan of a sweep; an empty one if there is none.

    Raises:
        InputError: If the file is damaged or too new.
    """
    path = sweep_dir / PLAN
    return codec.read(path, SweepPlan) if path.is_file() else SweepPlan()


def write_plan(sweep_dir: Path, plan: SweepPlan) -> None:
    """Write the plan of a sweep."""
    codec.write(sweep_dir / PLAN, plan)
