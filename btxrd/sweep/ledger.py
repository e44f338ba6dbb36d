"""The state of every run: what it is, what became of it, what must not be touched."""

import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import time
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
from btxrd.files import read_json, replacing, write_json, write_text
from btxrd.schema import Config
from btxrd.vocabulary import LAST, TABLES

log = logging.getLogger(__name__)

STATUS, CONFIG, PLAN = "status.json", "config.yaml", "plan.json"
NO_NUMBER = (
    "data.root",
    "data.cache",
    "data.archive",
    "split.manifest",
    "device",
)  # keys that cannot change a figure


def fingerprint(config: Config) -> str:
    """Name all that can change a number of a run; paths and the device are left out.

    Files count by their content, not by their place: one of weights, and the table of the data.
    """
    content = _numbers(asdict(config))
    if config.model.weights is not None:
        content["model.weights"] = _digest(Path(config.model.weights))
    if config.split.manifest is not None:
        content["split.manifest"] = _digest(Path(config.split.manifest))
    if config.data.phantom is None:
        content["data.table"] = [_digest(Path(config.data.root) / name) for name in TABLES]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _numbers(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a config to dotted keys, without those of NO_NUMBER."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        name = prefix + key
        if name in NO_NUMBER:
            continue
        if isinstance(value, dict):
            flat |= _numbers(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """Read a run's status.json; None where there is none."""
    path = run_dir / STATUS
    if not path.is_file():
        return None
    status: dict[str, Any] = read_json(path)
    return status


def is_complete(run_dir: Path, config: Config) -> bool:
    """Tell whether a folder holds the complete run of `config`.

    Raises:
        InputError: where it holds the complete run of another config, naming the keys that differ.
    """
    status = read_status(run_dir)
    if status is None or status["state"] != "complete":
        return False
    if status["fingerprint"] != fingerprint(config):
        stored = yaml.safe_load((run_dir / CONFIG).read_text(encoding="utf-8"))
        old, new = _numbers(stored), _numbers(asdict(config))
        differing = [key for key in new if old.get(key) != new[key]]
        changes = ", ".join(f"{key}={old.get(key)} there, {new[key]} now" for key in differing)
        changes = changes or "the content of model.weights, split.manifest or the table of the data"
        raise InputError(f"{run_dir}: holds a complete run of another config ({changes})")
    return True


def attempt(
    run_dir: Path, config: Config, choices: dict[str, str], work: Callable[[], dict[str, str]]
) -> str:
    """Do a run, and keep record of it in status.json however it ends.

    A training of another config that was cut off in the same folder is not gone on with.

    Args:
        run_dir: of the run; not that of a complete run.
        config: of the run.
        choices: the config group options it was composed from.
        work: does the run; returns what status.json shall hold of it.

    Returns:
        `complete` or `failed`: an exception is recorded and not raised; an interrupt is recorded
        and raised.
    """
    started = time.time()
    status = _begin(run_dir, config, choices)

    def close(state: str, error: BaseException | None = None) -> str:
        status.update(state=state, ended=_now(), seconds=round(time.time() - started, 3))
        if error is not None:
            status["error"] = {
                "type": type(error).__name__,
                "message": str(error),
                "traceback": "".join(traceback.format_exception(error)),
            }
        write_json(run_dir / STATUS, status)
        return state

    try:
        status |= work()
    except Exception as error:
        show = not isinstance(error, InputError) or os.environ.get("HYDRA_FULL_ERROR") == "1"
        log.error("Failed: %s", error, exc_info=error if show else None)
        return close("failed", error)
    except BaseException as error:
        log.error("Interrupted: %s", type(error).__name__)
        close("interrupted", error)
        raise
    return close("complete")


def _begin(run_dir: Path, config: Config, choices: dict[str, str]) -> dict[str, Any]:
    """Write config.yaml, and the first status.json of an attempt; returns its content."""
    before = read_status(run_dir)
    status: dict[str, Any] = {
        "state": "running",
        "fingerprint": fingerprint(config),
        "started": _now(),
        "ended": None,
        "seconds": None,
        "attempts": 1 + (before["attempts"] if before else 0),
        "error": None,
        "versions": versions(),
        "device": config.device,
        "split_hash": None,
    }
    if before is not None and before["fingerprint"] != status["fingerprint"]:
        (run_dir / "checkpoints" / LAST).unlink(missing_ok=True)
    content = asdict(config) | {"choices": choices}
    write_text(run_dir / CONFIG, yaml.safe_dump(content, sort_keys=False))
    write_json(run_dir / STATUS, status)
    return status


def versions() -> dict[str, str | None]:
    """Versions of what a number depends on, without loading it."""
    found: dict[str, str | None] = {"python": platform.python_version(), "btxrd": __version__}
    found |= {name: version(name) for name in ("torch", "timm")}
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    answer = subprocess.run(git, capture_output=True, text=True) if shutil.which("git") else None
    in_git = answer is not None and answer.returncode == 0
    return found | {"git": answer.stdout.strip() if answer is not None and in_git else None}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_plan(sweep_dir: Path, names: list[str]) -> None:
    """Note which runs a sweep is to hold; those of earlier calls stay planned."""
    known = read_plan(sweep_dir)
    write_json(sweep_dir / PLAN, known + [name for name in names if name not in known])


def read_plan(sweep_dir: Path) -> list[str]:
    """Read which runs a sweep is to hold."""
    path = sweep_dir / PLAN
    return list(read_json(path)) if path.is_file() else []


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
