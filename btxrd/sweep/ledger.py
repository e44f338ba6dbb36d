"""The state of every run: what became of it, what must not be touched, who works on it."""

import logging
import os
import platform
import shutil
import signal
import socket
import subprocess
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from btxrd import __version__
from btxrd.errors import InputError
from btxrd.files import (
    holding,
    read_json,
    remove_leftovers,
    replacing,
    write_bytes,
    write_json,
    write_text,
)
from btxrd.schema import Config
from btxrd.sweep.fingerprint import differing, fingerprint
from btxrd.vocabulary import LAST

log = logging.getLogger(__name__)

STATUS, CONFIG, LOCK, LOG = "status.json", "config.yaml", ".lock", "run.log"
RESERVE, RESERVED = ".reserve", 256 * 1024  # bytes kept for the last words on a full disk
CRASH = "Fatal Python error"  # how faulthandler begins
OF_USERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)  # interrupt, not failure


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """Read a run's status.json; None where there is none.

    A run that is said to be running while no process holds it was killed together with what
    watched over it: it is set down as interrupted.
    """
    status = _read(run_dir)
    if status is None or status["state"] != "running":
        return status
    if not os.access(run_dir, os.W_OK):
        return status
    with holding(run_dir / LOCK) as lock:
        if lock is None:
            return status
        status = _read(run_dir)  # it may have ended just now
        if status is not None and status["state"] == "running":
            worker = status["worker"]
            reason = f"process {worker['pid']} on {worker['host']} ended without a word"
            error = {"type": "Killed", "message": reason}
            _close(run_dir, status, "interrupted", error, at=_last_sign(run_dir))
        return status


def _last_sign(run_dir: Path) -> float:
    """When something was last written for a run."""
    return max(path.stat().st_mtime for path in run_dir.iterdir() if path.name != LOCK)


def _read(run_dir: Path) -> dict[str, Any] | None:
    path = run_dir / STATUS
    status: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return status


def in_state(state: str, sweep_dir: Path) -> list[Path]:
    """Find the runs of a sweep that are in a state."""
    run_dirs = [path.parent for path in sorted(sweep_dir.rglob(STATUS))]
    return [run_dir for run_dir in run_dirs if state_of(run_dir) == state]


def state_of(run_dir: Path) -> str:
    """The state of a run; `missing` where it was never begun."""
    status = read_status(run_dir)
    return "missing" if status is None else str(status["state"])


def read_config(run_dir: Path) -> dict[str, Any]:
    """Read a run's config.yaml."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: dict[str, Any] = yaml.load((run_dir / CONFIG).read_text(encoding="utf-8"), loader)
    return content


def is_complete(run_dir: Path, config: Config) -> bool:
    """Tell whether a folder holds the complete run of `config`.

    Raises:
        InputError: where it holds the complete run of another config, naming the keys that differ.
    """
    status = _read(run_dir)
    if status is None or status["state"] != "complete":
        return False
    if status["fingerprint"] != fingerprint(config):
        changes = differing(read_config(run_dir), config)
        raise InputError(f"{run_dir}: holds a complete run of another config ({changes})")
    return True


def is_done(run_dir: Path, since: str) -> bool:
    """Tell whether a run is complete, or failed since a moment as status.json writes it."""
    return state_of(run_dir) == "complete" or has_failed(run_dir, since)


def has_failed(run_dir: Path, since: str) -> bool:
    """Tell whether a run failed since a moment as status.json writes it."""
    status = read_status(run_dir)
    return status is not None and status["state"] == "failed" and status["ended"] >= since


def begin(
    run_dir: Path, config: Config, choices: dict[str, str], worker: dict[str, Any] | None = None
) -> None:
    """Write config.yaml, and the first status.json of an attempt; the caller holds the folder.

    A training of another config that was cut off in the same folder is not gone on with.

    Args:
        run_dir: of the run; not that of a complete run.
        config: of the run.
        choices: the config group options it was composed from.
        worker: what the run was given to run on.
    """
    before = _read(run_dir)
    remove_leftovers(run_dir)
    status: dict[str, Any] = {
        "state": "running",
        "fingerprint": fingerprint(config),
        "started": _stamp(datetime.now(UTC)),
        "ended": None,
        "seconds": None,
        "attempts": 1 + (before["attempts"] if before else 0),
        "error": None,
        "versions": versions(),
        "device": config.device,
        "split_hash": None,
        "val_macro_auc": None,
        "worker": {"host": socket.gethostname(), "pid": os.getpid(), **(worker or {})},
    }
    if before is not None and before["fingerprint"] != status["fingerprint"]:
        (run_dir / "checkpoints" / LAST).unlink(missing_ok=True)
    content = asdict(config) | {"choices": choices}
    write_bytes(run_dir / RESERVE, bytes(RESERVED))
    write_text(run_dir / CONFIG, yaml.safe_dump(content, sort_keys=False))
    write_json(run_dir / STATUS, status)


def record(run_dir: Path, work: Callable[[], dict[str, Any]]) -> str:
    """Do the work of a run that was begun, and keep record of it however it ends.

    Args:
        run_dir: of the run.
        work: does the run; returns what status.json shall hold of it.

    Returns:
        `complete` or `failed`: an exception is recorded and not raised; an interrupt is recorded
        and raised.
    """
    status = _read(run_dir)
    assert status is not None
    status["worker"]["pid"] = os.getpid()
    write_json(run_dir / STATUS, status)
    try:
        status |= work()
    except Exception as error:
        show = not isinstance(error, InputError) or os.environ.get("HYDRA_FULL_ERROR") == "1"
        log.error("Failed: %s", error, exc_info=error if show else None)
        return _close(run_dir, status, "failed", _describe(error))
    except BaseException as error:
        log.error("Interrupted; the same command goes on from here")
        _close(run_dir, status, "interrupted", _describe(error))
        raise
    return _close(run_dir, status, "complete")


def settle(run_dir: Path, code: int) -> str:
    """Set down how a run ended whose process may not have been able to.

    Args:
        run_dir: of the run; the caller holds it.
        code: the exit status of its process; -N where signal N ended it.

    Returns:
        The state of the run.
    """
    status = _read(run_dir)
    assert status is not None
    if status["state"] != "running":
        return str(status["state"])
    name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    if -code in OF_USERS:
        return _close(run_dir, status, "interrupted", {"type": name, "message": "was asked to end"})
    if -code == signal.SIGKILL:
        reason = "the process was killed, from outside or by the system for want of memory"
    else:
        reason = "the process crashed, and left no word of the cause"
    error = {"type": name, "message": reason, "traceback": _crash(run_dir)}
    log.error("Failed: %s: %s", name, reason)
    return _close(run_dir, status, "failed", error)


def _crash(run_dir: Path) -> str:
    """What faulthandler wrote into the log, if it did."""
    path = run_dir / LOG
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return text[text.rfind(CRASH) :] if CRASH in text else ""


def _describe(error: BaseException) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _close(
    run_dir: Path,
    status: dict[str, Any],
    state: str,
    error: dict[str, str] | None = None,
    at: float | None = None,
) -> str:
    ended = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    seconds = (ended - datetime.fromisoformat(status["started"])).total_seconds()
    status.update(state=state, ended=_stamp(ended), seconds=round(seconds, 3))
    status["error"] = None if error is None else {"traceback": "", **error}
    (run_dir / RESERVE).unlink(missing_ok=True)
    write_json(run_dir / STATUS, status)
    return state


def versions() -> dict[str, str | None]:
    """Versions of what a number depends on, without loading it."""
    found: dict[str, str | None] = {"python": platform.python_version(), "btxrd": __version__}
    found |= {name: version(name) for name in ("torch", "timm")}
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    answer = subprocess.run(git, capture_output=True, text=True) if shutil.which("git") else None
    in_git = answer is not None and answer.returncode == 0
    return found | {"git": answer.stdout.strip() if answer is not None and in_git else None}


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def backup_checkpoints(folder: Path) -> None:
    """Copy the *.pt files that lie in `folder` into its backup_b0_baseline/, each once.

    A copy that is there is never replaced, so the first baseline survives.
    """
    backup = folder / "backup_b0_baseline"
    for path in sorted(folder.glob("*.pt")):
        copy = backup / path.name
        if not copy.exists():
            with replacing(copy) as beside:
                shutil.copy2(path, beside)
            log.info("Copied %s to %s", path, copy)
