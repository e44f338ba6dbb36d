"""The hashes of the files of a complete run, which show whether the files are unchanged.

status.json contains them. `metrics.json`, `card.md` and `figures/` are derived from the other
files. While scoring writes them again, their hashes are empty.
"""

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from btxrd.artifacts.config import CONFIG
from btxrd.artifacts.gallery import GALLERY
from btxrd.artifacts.metrics import METRICS_FILE
from btxrd.artifacts.sidecar import CHECKPOINTS, LAST, NEXT, WEIGHTS
from btxrd.artifacts.status import read_status
from btxrd.errors import DamagedError
from btxrd.runtime.files import is_temporary, is_there

Hashes = dict[str, str]  # SHA-256 by path, which is relative to the folder of the run
DERIVED = (METRICS_FILE, "card.md", "figures")
SOURCES = (
    "split.csv", "history.csv", "predictions.csv", "shortcuts.csv", "gradcam.csv",
    "lesion_maps.csv", "lesion_maps.npz", "gradcam", GALLERY, CHECKPOINTS,
)  # fmt: skip
RUN_PAGE = "run.html"  # not hashed, because a summary writes it again from the other files
RESULTS = (*SOURCES, *DERIVED)
MAY_BE_DELETED = f"{CHECKPOINTS}/{WEIGHTS}"  # a user may delete it to save space
TO_BE_REMOVED = (f"{CHECKPOINTS}/{LAST}", f"{CHECKPOINTS}/{NEXT}")  # removed once a run is complete


def hash_run(run_dir: Path) -> Hashes:
    """Hash the config and the results of a run."""
    return hash_files(run_dir, (CONFIG, *RESULTS))


def hash_files(run_dir: Path, names: Iterable[str]) -> Hashes:
    """Hash files of a run.

    Args:
        run_dir: Folder of the run.
        names: Names of files, or of folders whose files are hashed. Missing ones are skipped.

    Raises:
        OSError: If a file cannot be read.
    """
    found = {}
    for name in names:
        path = run_dir / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inside = file.relative_to(run_dir).as_posix()
            if file.is_file() and not is_temporary(file) and inside not in TO_BE_REMOVED:
                found[inside] = digest(file)
    return found


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_derived(name: str) -> bool:
    """Return whether scoring writes a file; `name` is its path in the folder of the run."""
    return name.split("/")[0] in DERIVED


def verify(run_dir: Path, files: Mapping[str, str]) -> None:
    """Verify files of a complete run.

    Args:
        run_dir: Folder of the run.
        files: Expected hashes of the files, by path.

    Raises:
        DamagedError: If a file is missing or has another hash, or if scoring was interrupted.
        OSError: If a file cannot be read.
    """
    again = f"run {shlex.join(['btxrd', 'score', str(run_dir)])} again"
    for name, expected in files.items():
        path = run_dir / name
        if not expected:
            raise DamagedError(f"{path}: scoring did not end; {again}")
        if not is_there(path):
            if name == MAY_BE_DELETED:
                continue
            problem = "is missing"
        elif not path.is_file():
            problem = "is damaged (it is not a file)"
        elif digest(path) != expected:
            problem = "is damaged or was edited (its hash is not that in status.json)"
        else:
            continue
        raise DamagedError(
            f"{path}: {problem}; {again if is_derived(name) else 'restore it, or do the run again'}"
        )


def verify_member(path: Path) -> None:
    """Verify a file if it belongs to a complete run.

    Args:
        path: Path to the file.

    Raises:
        InputError: If the file is missing or has another hash, or if the status of the run is
            damaged.
        OSError: If the file cannot be read.
    """
    path = path.absolute()
    for run_dir in path.parents[:2]:
        status = read_status(run_dir)
        if status is not None and status.state == "complete" and status.files is not None:
            name = path.relative_to(run_dir).as_posix()
            verify(run_dir, {name: status.files[name]} if name in status.files else {})
