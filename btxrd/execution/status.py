"""The state of each run, and the folders that must not be changed."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from btxrd.artifacts import status as artifact
from btxrd.artifacts.config import read_config
from btxrd.artifacts.sidecar import CHECKPOINTS, LAST, NEXT
from btxrd.artifacts.status import STATUS, RunError, RunStatus, State, write_status
from btxrd.config.identity import differing
from btxrd.config.jobspec import LOG
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.fingerprint import fingerprint
from btxrd.runtime.files import lock
from btxrd.runtime.folders import inside, refuse_foreign, refuse_readonly

LOCK = ".lock"
RESERVE = ".reserve"  # deleted to make room for the final status on a full disk
BEGUN = (LOCK, LOG, RESERVE, ".hydra")  # files of a run that was killed before its first status


def read_status(run_dir: Path) -> RunStatus | None:
    """Return the status of a run, or None if there is none.

    If the status is `running` but no process holds the lock, the run was killed together with its
    supervisor. Its status is then changed to `interrupted`.

    Raises:
        InputError: If status.json is damaged or too new.
    """
    status = artifact.read_status(run_dir)
    if status is None or status.state != "running" or not os.access(run_dir, os.W_OK):
        return status
    with lock(run_dir / LOCK) as handle:
        if handle is None:
            return status
        status = artifact.read_status(run_dir)  # the run may just have ended
        if status is not None and status.state == "running":
            worker = status.worker
            of = "its process" if worker is None else f"process {worker.pid} on {worker.host}"
            error = RunError("Killed", f"{of} ended without recording why")
            ended = _last_write(run_dir)
            seconds = ended.timestamp() - datetime.fromisoformat(status.started).timestamp()
            status = ended_status(status, "interrupted", seconds, error, ended)
            with contextlib.suppress(InputError):  # on a full disk, the next reader tries again
                finalize_status(run_dir, status)
        return status


def _last_write(run_dir: Path) -> datetime:
    """Return the time at which a file of a run was last written, by the file system's clock."""
    times = [path.lstat().st_mtime for path in run_dir.iterdir() if path.name != LOCK]
    return datetime.fromtimestamp(max(times), UTC)


def ended_status(
    status: RunStatus,
    state: State,
    seconds: float,
    error: RunError | None = None,
    ended: datetime | None = None,
) -> RunStatus:
    """Return the status of a run that ended.

    Args:
        status: Its status until now.
        state: State in which it ended.
        seconds: Duration of the last attempt. A negative difference of clocks counts as 0.
        error: Reason why it did not complete.
        ended: Time at which it ended. None means now.
    """
    total = max(0.0, status.seconds or 0.0) + max(0.0, seconds)
    at = stamp(datetime.now(UTC) if ended is None else ended)
    return replace(status, state=state, ended=at, seconds=round(total, 3), error=error)


def finalize_status(run_dir: Path, status: RunStatus) -> None:
    """Write the final status of an attempt, even on a full disk. The caller holds the lock."""
    (run_dir / RESERVE).unlink(missing_ok=True)
    write_status(run_dir, status)


def stamp(moment: datetime) -> str:
    """Format a time for a reader. Clocks of machines differ, so no decision may depend on it."""
    return moment.isoformat(timespec="milliseconds")


def state_of(run_dir: Path) -> str:
    """Return the state in the status of a run, or `missing` or `damaged`."""
    try:
        status = read_status(run_dir)
    except (InputError, OSError):
        return "damaged"
    return "missing" if status is None else status.state


def runs_in_state(state: str, sweep_dir: Path) -> list[Path]:
    """Return the folders of the runs of a sweep that are in a state."""
    run_dirs = [path.parent for path in sorted(sweep_dir.rglob(STATUS))]
    return [run_dir for run_dir in run_dirs if state_of(run_dir) == state]


def can_resume(run_dirs: Iterable[Path]) -> bool:
    """Return whether the command that started these runs has one left to do, and has ended."""
    states = {state_of(run_dir) for run_dir in run_dirs}
    return "running" not in states and not states.isdisjoint(("missing", "interrupted", "failed"))


def is_complete(run_dir: Path, config: Config) -> bool:
    """Return whether a folder contains the complete run of `config`.

    Raises:
        InputError: If it contains the complete run of another config, or files of other programs,
            or cannot be written. In the first case, the message names the keys that differ.
    """
    begun = {*BEGUN, *inside(run_dir, config.data.root, config.data.cache)}
    place = str(run_dir if run_dir.name else run_dir.absolute())  # the folder `.` has no name
    refuse_foreign(run_dir, place, lambda: _holds_run(run_dir), begun)
    status = artifact.read_status(run_dir)
    if status is None or status.state != "complete":
        refuse_readonly(run_dir, place)
        return False
    if status.fingerprint != fingerprint(config):
        changes = differing(read_config(run_dir).config, config)
        raise InputError(
            f"{run_dir}: contains a complete run of another config ({changes}); set another "
            "hydra.run.dir or hydra.sweep.dir"
        )
    return True


def _holds_run(run_dir: Path) -> bool:
    """Return whether a folder contains the status or the config of a run."""
    if (run_dir / STATUS).is_file():
        return True
    try:
        return bool(read_config(run_dir).config)
    except InputError:
        return False


def remove_resume_state(run_dir: Path) -> None:
    """Delete the resume state of a complete run, which a killed process may have left."""
    for name in (LAST, NEXT):
        (run_dir / CHECKPOINTS / name).unlink(missing_ok=True)


def has_failed(run_dir: Path, launch: str) -> bool:
    """Return whether a run failed in the command that `launch` identifies in plan.json."""
    if state_of(run_dir) != "failed":
        return False
    status = artifact.read_status(run_dir)
    return status is not None and status.launch == launch
