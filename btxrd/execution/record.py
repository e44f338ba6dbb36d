"""Record the start and the end of a run on disk, also if its process was killed."""

import logging
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from btxrd import __version__
from btxrd.artifacts.config import write_config
from btxrd.artifacts.hashes import RESULTS, RUN_PAGE, hash_run
from btxrd.artifacts.status import (
    Outcome,
    RunError,
    RunStatus,
    State,
    Worker,
    read_status,
    write_status,
)
from btxrd.config.jobspec import LOG
from btxrd.config.schema import Config
from btxrd.errors import InputError, describe_error, ran_out_of_memory
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.status import (
    RESERVE,
    ended_status,
    finalize_status,
    remove_resume_state,
    stamp,
)
from btxrd.runtime.files import free_name, remove_leftovers, write_bytes
from btxrd.runtime.interruption import signals

log = logging.getLogger(__name__)

RESERVED = 256 * 1024  # bytes in the file that keeps space for the final status
CRASH = "Fatal Python error"  # start of the output of faulthandler
OF_USERS = signals(
    "SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2", "SIGBREAK"
)  # these count as an interruption and not as a failure


def begin(
    run_dir: Path,
    config: Config,
    choices: dict[str, str],
    *,
    threads: int | None = None,
    gpu: str | None = None,
    launch: str | None = None,
) -> None:
    """Write config.yaml and the first status of an attempt; the caller holds the lock of the run.

    If the folder contains an incomplete run of another config, its files are moved.

    Args:
        run_dir: Folder of the run, which is not complete.
        config: Config of the run.
        choices: Config group options from which the config was composed.
        threads: CPU threads that the run may use.
        gpu: GPU that the run may use, as a value for CUDA_VISIBLE_DEVICES.
        launch: Identifier of the command that the attempt belongs to.
    """
    before = read_status(run_dir)
    remove_leftovers(run_dir)
    status = RunStatus(
        state="running",
        fingerprint=fingerprint(config),
        started=stamp(datetime.now(UTC)),
        attempts=1 if before is None else before.attempts + 1,
        versions=versions(),
        device=config.device,
        worker=Worker(socket.gethostname(), os.getpid(), threads, gpu),
        launch=launch,
    )
    if before is not None and before.fingerprint != status.fingerprint:
        _set_aside(run_dir, before.fingerprint)
    elif before is not None:
        status = replace(status, seconds=before.seconds)
    write_bytes(run_dir / RESERVE, bytes(RESERVED))
    write_config(run_dir, config, choices)
    write_status(run_dir, status)


def _set_aside(run_dir: Path, name: str) -> None:
    """Move the files of another run into a new folder, which is named by its fingerprint."""
    left = [path for result in (*RESULTS, RUN_PAGE) if os.path.lexists(path := run_dir / result)]
    if left:
        aside = free_name(run_dir / f"of-{name}")
        aside.mkdir()
        for path in left:
            path.replace(aside / path.name)
        log.warning("Files of an incomplete run of another config were moved to %s", aside)


def record(run_dir: Path, work: Callable[[], Outcome]) -> State:
    """Execute a run that was begun, and record how it ends.

    Args:
        run_dir: Folder of the run.
        work: Function that executes the run.

    Returns:
        `complete` or `failed`. An exception is recorded and not raised; an interrupt is recorded
        and raised.
    """
    status = _begun(run_dir)
    if status.worker is not None:
        status = replace(status, worker=replace(status.worker, pid=os.getpid()))
        write_status(run_dir, status)
    start = time.monotonic()

    def end(state: State, error: BaseException | None = None) -> State:
        reason = None if error is None else _describe(error)
        seconds = time.monotonic() - start
        finalize_status(run_dir, ended_status(status, state, seconds, reason))
        return state

    try:
        outcome = work()
        files = hash_run(run_dir)
    except Exception as error:
        is_plain = isinstance(error, InputError) or ran_out_of_memory(error)
        show = not is_plain or os.environ.get("HYDRA_FULL_ERROR") == "1"
        log.error("Failed: %s", describe_error(error), exc_info=error if show else None)
        return end("failed", error)
    except BaseException as error:
        log.error("Interrupted; this run can be resumed")
        end("interrupted", error)
        raise
    status = replace(
        status,
        device=outcome.device,
        split_hash=outcome.split_hash,
        val_macro_auc=outcome.val_macro_auc,
        files=files,
    )
    end("complete")
    remove_resume_state(run_dir)
    return "complete"


def settle(run_dir: Path, code: int, seconds: float, log_from: int = 0) -> State:
    """Record how a run ended, if its process has not recorded it.

    Args:
        run_dir: Folder of the run; the caller holds its lock.
        code: Exit status of its process; -N or 128 + N if signal N ended it.
        seconds: Duration of the attempt.
        log_from: Size of the log in bytes when this attempt began.

    Returns:
        The state of the run.
    """
    status = _begun(run_dir)
    if status.state == "complete":
        remove_resume_state(run_dir)
    if status.state != "running":
        return status.state
    if code - 128 in OF_USERS:
        code = 128 - code
    name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    if -code in OF_USERS:
        reason = RunError(name, "was asked to end")
        finalize_status(run_dir, ended_status(status, "interrupted", seconds, reason))
        return "interrupted"
    if -code in signals("SIGKILL"):
        message = "the process was killed, by a user or by the system for lack of memory"
    else:
        message = "the process crashed without recording the cause"
    log.error("Failed: %s: %s", name, message)
    reason = RunError(name, message, _crash(run_dir, log_from))
    finalize_status(run_dir, ended_status(status, "failed", seconds, reason))
    return "failed"


def _begun(run_dir: Path) -> RunStatus:
    status = read_status(run_dir)
    assert status is not None
    return status


def _crash(run_dir: Path, log_from: int) -> str:
    """Return the output of faulthandler in the log, or an empty text."""
    path = run_dir / LOG
    log = path.read_bytes()[log_from:] if path.is_file() else b""
    text = log.decode(errors="replace")
    return text[text.rfind(CRASH) :] if CRASH in text else ""


def _describe(error: BaseException) -> RunError:
    trace = "".join(traceback.format_exception(error))
    return RunError(type(error).__name__, describe_error(error), trace)


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that results depend on, without importing them."""
    found: dict[str, str | None] = {"python": platform.python_version(), "btxrd": __version__}
    found |= {name: version(name) for name in ("torch", "timm")}
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    answer = subprocess.run(git, capture_output=True, text=True) if shutil.which("git") else None
    in_git = answer is not None and answer.returncode == 0
    return found | {"git": answer.stdout.strip() if answer is not None and in_git else None}
