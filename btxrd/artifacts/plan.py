"""plan.json: the runs of a sweep."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from btxrd.artifacts import codec
from btxrd.errors import DamagedError
from btxrd.runtime.files import is_there

PLAN = "plan.json"


@dataclass(frozen=True)
class SweepPlan(codec.Artifact):
    """Content of plan.json.

    Attributes:
        runs: Names of the runs, those of earlier calls included, in the order of the calls.
        refused: Reason why the last call did not use the folder of a run, by the name of the run.
        launched: Start of the last call, in ISO 8601 with milliseconds, UTC.
        launch: Identifier of the last call, which distinguishes its runs from those of earlier
            calls.
        at_once: Number of parallel runs in the last call.
        pid: Process id of the last call.
        command: Arguments of the last call.
        started_in: Folder that the last call was started in.
        images: Whether the report may show images.
        margin: Smallest difference in macro AUC that matters.
    """

    FORMAT: ClassVar[int] = 2

    runs: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    launched: str = ""
    at_once: int = 1
    pid: int = 0
    command: str = ""
    images: bool = True
    launch: str = ""
    margin: float = 0.02
    started_in: str = ""

    @classmethod
    def from_content(cls, content: codec.Content) -> Self:
        """Convert the content of a file of the present format."""
        plan = super().from_content(content)
        for name in plan.runs:
            parts = PurePosixPath(name).parts
            if not parts or ".." in parts or name.startswith("/") or b"\0" in os.fsencode(name):
                raise ValueError(f"runs: {name!r} is not the name of a folder in the sweep")
        if plan.at_once < 1:
            raise ValueError(f"at_once={plan.at_once}: must be 1 or more")
        if not 0 < plan.margin <= 1:
            raise ValueError(f"margin={plan.margin}: must be a difference in macro AUC")
        return plan


def read_plan(sweep_dir: Path) -> SweepPlan:
    """Read plan.json of a sweep; an empty plan if there is none.

    Raises:
        InputError: If the file is damaged, or has a newer format.
        OSError: If the file cannot be read.
    """
    path = sweep_dir / PLAN
    return codec.read(path, SweepPlan) if is_there(path) else SweepPlan()


def read_usable_plan(sweep_dir: Path) -> SweepPlan:
    """Read plan.json of a sweep; if it is damaged, print an error and return an empty plan.

    The empty plan shows no images, because the damaged plan may have forbidden it.

    Raises:
        InputError: If the file has a newer format.
    """
    try:
        return read_plan(sweep_dir)
    except DamagedError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{sweep_dir / PLAN}: cannot be read ({error.strerror})"
    print(f"{problem}; only the runs that have a folder are known", file=sys.stderr)
    return SweepPlan(images=False)


def write_plan(sweep_dir: Path, plan: SweepPlan) -> None:
    """Write plan.json of a sweep."""
    codec.write(sweep_dir / PLAN, plan)
