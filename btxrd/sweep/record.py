"""A run from its first word on disk to its last, whoever is left to write it."""

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
from btxrd.files import remove_leftovers, write_bytes, write_json, write_text
from btxrd.schema import Config
from btxrd.sweep.fingerprint import fingerprint
from btxrd.sweep.ledger import CONFIG, LOG, RESERVE, STATUS, close, read, stamp, tidy

log = logging.getLogger(__name__)

RESERVED = 256 * 1024  # bytes
RESULTS = (
    "split.csv", "history.csv", "checkpoints", "predictions.csv", "metrics.json", "figures",
    "gradcam.csv", "lesion_maps.csv", "lesion_maps.npz", "gradcam", "shortcuts.csv",
    "card.md",
)  # fmt: skip
CRASH = "Fatal Python error"  # how faulthandler begins
OF_USERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)  # interrupt, not failure


def begin(
    run_dir: Path, config: Config, choices: dict[str, str], worker: dict[str, Any] | None = None
) -> None:
    """Write config.yaml, and the first status.json of an attempt; the caller holds the folder.

    What a run of another config, which did not get to its end, has left in the folder is set aside.

    Args:
        run_dir: of the run; not that of a complete run.
        config: of the run.
        choices: the config group options it was composed from.
        worker: what the run was given to run on.
    """
    before = read(run_dir)
    remove_leftovers(run_dir)
    status: dict[str, Any] = {
        "state": "running",
        "fingerprint": fingerprint(config),
        "started": stamp(datetime.now(UTC)),
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
        _set_aside(run_dir, before["fingerprint"])
    elif before is not None:
        status["seconds"] = before["seconds"]  # of the attempts until now
    content = asdict(config) | {"choices": choices}
    write_bytes(run_dir / RESERVE, bytes(RESERVED))
    write_text(run_dir / CONFIG, yaml.safe_dump(content, sort_keys=False))
    write_json(run_dir / STATUS, status)


def _set_aside(run_dir: Path, name: str) -> None:
    """Move what another run left into a folder named by its fingerprint."""
    left = [path for result in RESULTS if (path := run_dir / result).exists()]
    if left:
        aside = run_dir / f"of-{name}"
        aside.mkdir(exist_ok=True)
        for path in left:
            path.replace(aside / path.name)
        log.warning("What a run of another config left here was moved to %s", aside)


def record(run_dir: Path, work: Callable[[], dict[str, Any]]) -> str:
    """Do the work of a run that was begun, and keep record of it however it ends.

    Args:
        run_dir: of the run.
        work: does the run; returns what status.json shall hold of it.

    Returns:
        `complete` or `failed`: an exception is recorded and not raised; an interrupt is recorded
        and raised.
    """
    status = read(run_dir)
    assert status is not None
    status["worker"]["pid"] = os.getpid()
    write_json(run_dir / STATUS, status)
    try:
        status |= work()
    except Exception as error:
        show = not isinstance(error, InputError) or os.environ.get("HYDRA_FULL_ERROR") == "1"
        log.error("Failed: %s", error, exc_info=error if show else None)
        return close(run_dir, status, "failed", _describe(error))
    except BaseException as error:
        log.error("Interrupted; the same command goes on from here")
        close(run_dir, status, "interrupted", _describe(error))
        raise
    close(run_dir, status, "complete")
    tidy(run_dir)
    return "complete"


def settle(run_dir: Path, code: int, log_from: int = 0) -> str:
    """Set down how a run ended whose process may not have been able to.

    Args:
        run_dir: of the run; the caller holds it.
        code: the exit status of its process; -N or 128 + N where signal N ended it.
        log_from: where the log of this attempt begins.

    Returns:
        The state of the run.
    """
    status = read(run_dir)
    assert status is not None
    if status["state"] == "complete":
        tidy(run_dir)
    if status["state"] != "running":
        return str(status["state"])
    if code - 128 in OF_USERS:
        code = 128 - code
    name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    if -code in OF_USERS:
        return close(run_dir, status, "interrupted", {"type": name, "message": "was asked to end"})
    if -code == signal.SIGKILL:
        reason = "the process was killed, from outside or by the system for want of memory"
    else:
        reason = "the process crashed, and left no word of the cause"
    error = {"type": name, "message": reason, "traceback": _crash(run_dir, log_from)}
    log.error("Failed: %s: %s", name, reason)
    return close(run_dir, status, "failed", error)


def _crash(run_dir: Path, log_from: int) -> str:
    """What faulthandler wrote into the log, if it did."""
    path = run_dir / LOG
    log = path.read_bytes()[log_from:] if path.is_file() else b""
    text = log.decode(errors="replace")
    return text[text.rfind(CRASH) :] if CRASH in text else ""


def _describe(error: BaseException) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def versions() -> dict[str, str | None]:
    """Versions of what a number depends on, without loading it."""
    found: dict[str, str | None] = {"python": platform.python_version(), "btxrd": __version__}
    found |= {name: version(name) for name in ("torch", "timm")}
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    answer = subprocess.run(git, capture_output=True, text=True) if shutil.which("git") else None
    in_git = answer is not None and answer.returncode == 0
    return found | {"git": answer.stdout.strip() if answer is not None and in_git else None}
