"""The state of every run: what became of it, and what must not be touched."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from btxrd.errors import InputError
from btxrd.files import holding, read_json, write_json
from btxrd.schema import Config
from btxrd.sweep.fingerprint import differing, fingerprint
from btxrd.vocabulary import LAST

STATUS, CONFIG, LOCK, LOG = "status.json", "config.yaml", ".lock", "run.log"
RESERVE = ".reserve"  # space for the last words on a full disk


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """Read a run's status.json; None where there is none.

    A run that is said to be running while no process holds it was killed together with what
    watched over it: it is set down as interrupted.
    """
    status = read(run_dir)
    if status is None or status["state"] != "running":
        return status
    if not os.access(run_dir, os.W_OK):
        return status
    with holding(run_dir / LOCK) as lock:
        if lock is None:
            return status
        status = read(run_dir)  # it may have ended just now
        if status is not None and status["state"] == "running":
            worker = status["worker"]
            reason = f"process {worker['pid']} on {worker['host']} ended without a word"
            error = {"type": "Killed", "message": reason}
            close(run_dir, status, "interrupted", error, at=_last_sign(run_dir))
        return status


def _last_sign(run_dir: Path) -> float:
    """When something was last written for a run."""
    return max(path.stat().st_mtime for path in run_dir.iterdir() if path.name != LOCK)


def read(run_dir: Path) -> dict[str, Any] | None:
    """Read a run's status.json as it stands; None where there is none."""
    path = run_dir / STATUS
    status: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return status


def in_state(state: str, sweep_dir: Path) -> list[Path]:
    """Find the runs of a sweep that are in a state."""
    run_dirs = [path.parent for path in sorted(sweep_dir.rglob(STATUS))]
    return [run_dir for run_dir in run_dirs if state_of(run_dir) == state]


def state_of(run_dir: Path) -> str:
    """The state of a run; `missing` where it was never begun, `damaged` where it cannot be read."""
    try:
        status = read_status(run_dir)
    except InputError:
        return "damaged"
    return "missing" if status is None else str(status["state"])


def read_config(run_dir: Path) -> dict[str, Any]:
    """Read a run's config.yaml.

    Raises:
        InputError: where it is not to be read.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    path = run_dir / CONFIG
    try:
        content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    return content


def is_complete(run_dir: Path, config: Config) -> bool:
    """Tell whether a folder holds the complete run of `config`.

    Raises:
        InputError: where it holds the complete run of another config, naming the keys that differ.
    """
    status = read(run_dir)
    if status is None or status["state"] != "complete":
        return False
    if status["fingerprint"] != fingerprint(config):
        changes = differing(read_config(run_dir), config)
        raise InputError(f"{run_dir}: holds a complete run of another config ({changes})")
    return True


def tidy(run_dir: Path) -> None:
    """Remove what a complete run needs no more, also where it was killed before it did so."""
    (run_dir / "checkpoints" / LAST).unlink(missing_ok=True)


def is_done(run_dir: Path, since: str) -> bool:
    """Tell whether a run is complete, or failed since a moment as status.json writes it."""
    return state_of(run_dir) == "complete" or has_failed(run_dir, since)


def has_failed(run_dir: Path, since: str) -> bool:
    """Tell whether a run failed since a moment as status.json writes it."""
    status = read(run_dir) if state_of(run_dir) == "failed" else None
    return status is not None and status["ended"] >= since


def close(
    run_dir: Path,
    status: dict[str, Any],
    state: str,
    error: dict[str, str] | None = None,
    at: float | None = None,
) -> str:
    """Write how a run ended; the caller holds it.

    Args:
        run_dir: of the run.
        status: the content of its status.json until now.
        state: that it ended in; returned.
        error: `type`, `message` and `traceback`, where there is one.
        at: when it ended, in seconds since the epoch; None means now.
    """
    ended = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    seconds = (ended - datetime.fromisoformat(status["started"])).total_seconds()
    seconds += status["seconds"] or 0
    status.update(state=state, ended=stamp(ended), seconds=round(seconds, 3))
    status["error"] = None if error is None else {"traceback": "", **error}
    (run_dir / RESERVE).unlink(missing_ok=True)
    write_json(run_dir / STATUS, status)
    return state


def stamp(moment: datetime) -> str:
    """Write a moment so that later ones sort behind it."""
    return moment.isoformat(timespec="milliseconds")
