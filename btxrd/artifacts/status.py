"""status.json: the state of a run."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from btxrd.artifacts import codec
from btxrd.runtime.files import is_there

STATUS = "status.json"
CHECKSUM = "checksum"  # key with the hash of the other keys
LONGEST = 1e9  # seconds (31 years); a longer duration is damage
State = Literal["running", "complete", "failed", "interrupted"]


@dataclass(frozen=True)
class RunError:
    """The error by which a run ended.

    Attributes:
        type: Name of an exception or of a signal.
        message: Message of the error.
        traceback: Traceback; empty if there is none.
    """

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Worker:
    """The process of a run, and what it was assigned.

    Attributes:
        host: Name of the machine.
        pid: Number of the process.
        threads: Number of threads of torch.
        gpu: GPU, as a value of CUDA_VISIBLE_DEVICES; None without an assigned GPU.
    """

    host: str
    pid: int
    threads: int | None = None
    gpu: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The results that the status of a complete run contains.

    Attributes:
        device: Name of the device.
        split_hash: Hash of split.csv.
        val_macro_auc: Macro AUC on val of the best epoch, which a search maximises; None if
            undefined.
    """

    device: str
    split_hash: str
    val_macro_auc: float | None


@dataclass(frozen=True)
class RunStatus(codec.Artifact):
    """Content of status.json.

    Attributes:
        state: `running`, `complete`, `failed` or `interrupted`. `complete` is written after every
            other result of the run.
        fingerprint: Hash of the config and of the data, which identifies the run.
        started: Start of the last attempt, in ISO 8601 with milliseconds, UTC.
        ended: End of the last attempt; None while it runs.
        seconds: Duration of all attempts; None during the first one.
        attempts: Number of attempts.
        error: Error by which the last attempt ended; None without one.
        versions: Versions of python, btxrd, torch and timm, and the git commit; each None if
            unknown.
        device: Name of the device.
        split_hash: Hash of split.csv.
        val_macro_auc: Macro AUC on val of the best epoch, which a search maximises; None if
            undefined.
        worker: Process of the last attempt.
        launch: Call that the last attempt belongs to, as in plan.json; None outside a sweep.
        files: SHA-256 of each file of a complete run, by its path in the folder of the run; None
            for a run of format 2 or older, and before a run is complete. See
            `btxrd.artifacts.hashes`.
    """

    FORMAT: ClassVar[int] = 3

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
    launch: str | None = None
    files: dict[str, str] | None = None

    def as_content(self) -> codec.Content:
        """Return the content of the file; that of a complete run has a checksum."""
        content = super().as_content()
        return content if self.files is None else content | {CHECKSUM: _checksum(content)}

    @classmethod
    def from_content(cls, content: codec.Content) -> Self:
        """Convert the content of a file of the present format."""
        is_sealed = content.get("files") is not None or CHECKSUM in content
        if is_sealed and content.get(CHECKSUM) != _checksum(content):
            raise ValueError("its checksum is not that of its content")
        status = super().from_content(content)
        datetime.fromisoformat(status.started)
        if status.attempts < 1 or (status.seconds or 0) > LONGEST:
            raise ValueError(f"attempts={status.attempts}, seconds={status.seconds}")
        return status


def _checksum(content: codec.Content) -> str:
    """Return the SHA-256 of a content, without the keys that `codec.write` adds."""
    rest = {
        key: value for key, value in content.items() if key not in (CHECKSUM, "format", "btxrd")
    }
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_status(run_dir: Path) -> RunStatus | None:
    """Read status.json of a run; None if there is none.

    Raises:
        InputError: If the file is damaged, or has a newer format.
        OSError: If the file cannot be read.
    """
    path = run_dir / STATUS
    return codec.read(path, RunStatus) if is_there(path) else None


def write_status(run_dir: Path, status: RunStatus) -> None:
    """Write status.json of a run."""
    codec.write(run_dir / STATUS, status)
