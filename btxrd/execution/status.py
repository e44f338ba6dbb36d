"""The state of every run: what became of it, and which folders must not be touched."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from btxrd.artifacts import status as artifact
from btxrd.artifacts.config import read_config
from btxrd.artifacts.sidecar import CHECKPOINTS, LAST
from btxrd.artifacts.status import STATUS, RunError, RunStatus, State, write_status
from btxrd.config.identity import differing
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.fingerprint import fingerprint
from btxrd.runtime.files import lock

LOCK, LOG = ".lock", "run.log"
RESERVE = ".reserve"  # space for the final status on a full disk


def read_status(run_dir: Path) -> RunStatus | None:
    """Read the status of a run; None if there is none.

    If a run is recorded as running and no process holds it, it was killed together with its
    supervisor. Such a run is recorded as interrupted.

    Raises:
        InputError: If status.json is damaged or too new.
    """
    status = artifact.read_status(run_dir)
    if status is None or status.state != "running" or not os.access(run_dir, os.W_OK):
        return status
    with lock(run_dir / LOCK) as handle:
        if handle is None:
            return status
        status = artifact.read_status(run_dir)  # it may have ended just now
        if status is not None and status.state == "running":
            worker = status.worker
            of = "its process" if worker is None else f"process {worker.pid} on {worker.host}"
            error = RunError("Killed", f"{of} ended without recording why")
            status = finalize_status(run_dir, status, "interrupted", error, _last_write(run_dir))
        return status


def _last_write(run_dir: Path) -> float:
    """Return when a file of a run was last written, in seconds since the epoch."""
    return max(path.stat().st_mtime for path in run_dir.iterdir() if path.name != LOCK)


def finalize_status(
    run_dir: Path,
    status: RunStatus,
    state: State,
    error: RunError | None = None,
    at: float | None = None,
) -> RunStatus:
    """Record how a run ended; the caller holds its lock.

    Args:
        run_dir: Folder of the run.
        status: Its status until now.
        state: State that it ended in.
        error: Why it did not complete.
        at: When it ended, in seconds since the epoch; None means now.

    Returns:
        The status that was written.
    """
    ended = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    seconds = (ended - datetime.fromisoformat(status.started)).total_seconds()
    seconds += status.seconds or 0
    status = replace(
        status, state=state, ended=stamp(ended), seconds=round(seconds, 3), error=error
    )
    (run_dir / RESERVE).unlink(missing_ok=True)
    write_status(run_dir, status)
    return status


def stamp(moment: datetime) -> str:
    """Format a moment so that later ones sort after it."""
    return moment.isoformat(timespec="milliseconds")


def state_of(run_dir: Path) -> str:
    """Return the state of a run: that of its status, `missing` without one, or `damaged`."""
    try:
        status = read_status(run_dir)
    except InputError:
        return "damaged"
    return "missing" if status is None else status.state


def runs_in_state(state: str, sweep_dir: Path) -> list[Path]:
    """Return the folders of the runs of a sweep that are in a state."""
    run_dirs = [path.parent for path in sorted(sweep_dir.rglob(STATUS))]
    return [run_dir for run_dir in run_dirs if state_of(run_dir) == state]


def is_complete(run_dir: Path, config: Config) -> bool:
    """Return whether a folder holds the complete run of `config`.

    Raises:
        InputError: If it holds the complete run of another config; names the keys that differ.
    """
    status = artifact.read_status(run_dir)
    if status is None or status.state != "complete":
        return False
    if status.fingerprint != fingerprint(config):
        changes = differing(read_config(run_dir).config, config)
        raise InputError(f"{run_dir}: holds a complete run of another config ({changes})")
    return True


def remove_resume_state(run_dir: Path) -> None:
    """Remove the resume state of a complete run, which a killed process may have left."""
    (run_dir / CHECKPOINTS / LAST).unlink(missing_ok=True)


def has_failed(run_dir: Path, since: str) -> bool:
    """Return whether a run failed since a moment as `stamp` formats it."""
    if state_of(run_dir) != "failed":
        return False
    status = artifact.read_status(run_dir)
    return status is not None and (status.ended or "") >= since
