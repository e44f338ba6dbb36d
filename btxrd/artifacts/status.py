"""status.json: what became of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from btxrd.artifacts import codec

STATUS = "status.json"
State = Literal["running", "complete", "failed", "interrupted"]


@dataclass(frozen=True)
class RunError:
    """Why a run did not complete; `type` is the name of an exception or of a signal."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Worker:
    """What a run was given to run on; `gpu` is a value for CUDA_VISIBLE_DEVICES."""

    host: str
    pid: int
    threads: int | None = None
    gpu: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What the status of a complete run records of it.

    Attributes:
        device: Name of the device.
        split_hash: Hash of split.csv.
        val_macro_auc: Of the best epoch, which a search maximises; None if undefined.
    """

    device: str
    split_hash: str
    val_macro_auc: float | None


@dataclass(frozen=True)
class RunStatus(codec.Artifact):
    """Content of status.json.

    Attributes:
        state: `complete` is written after every other file of the run.
        fingerprint: Hash of everything that can change a metric.
        started: Start of the last attempt, in ISO 8601 with milliseconds, UTC.
        ended: End of the last attempt; None while it runs.
        seconds: Duration of all attempts; None in the first one.
        attempts: Number of attempts.
        error: Why the last attempt did not complete.
        versions: Of python, btxrd, torch and timm, and the git commit, each None if unknown.
        device: Name of the device.
        split_hash: Hash of split.csv.
        val_macro_auc: Of the best epoch, which a search maximises; None if undefined.
        worker: Process of the last attempt.
    """

    FORMAT: ClassVar[int] = 2

    state: State
    fingerprint: str
    started: str
    ended: str | None = None
    seconds: float | None = None
    attempts: int = 1
    error: RunError | None = None
    versions: dict[str, str | None] | None = None
    device: str | None = None
    split_hash: str | None = None
    val_macro_auc: float | None = None
    worker: Worker | None = None


def read_status(run_dir: Path) -> RunStatus | None:
    """Read the status of a run; None if there is none.

    Raises:
        InputError: If the file is damaged or too new.
    """
    path = run_dir / STATUS
    return codec.read(path, RunStatus) if path.is_file() else None


def write_status(run_dir: Path, status: RunStatus) -> None:
    """Write the status of a run."""
    codec.write(run_dir / STATUS, status)
