"""The hashes of the files of a complete run, by which a reader tells that they are unchanged.

status.json holds them. `metrics.json`, `card.md` and `figures/` are derived from the other files:
while they are written anew, their hashes are empty.
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

Hashes = dict[str, str]  # SHA-256 by the path of a file in the folder of its run
DERIVED = (METRICS_FILE, "card.md", "figures")
SOURCES = (
    "split.csv", "history.csv", "predictions.csv", "shortcuts.csv", "gradcam.csv",
    "lesion_maps.csv", "lesion_maps.npz", "gradcam", GALLERY, CHECKPOINTS,
)  # fmt: skip
RUN_PAGE = "run.html"  # is made of all of these, and can be made again; it has no hash
RESULTS = (*SOURCES, *DERIVED)
MAY_BE_DELETED = f"{CHECKPOINTS}/{WEIGHTS}"  # to save space; no summary needs it
TO_BE_REMOVED = (f"{CHECKPOINTS}/{LAST}", f"{CHECKPOINTS}/{NEXT}")  # once a run is complete


def hash_run(run_dir: Path) -> Hashes:
    """Hash every file of a run that is to stay as it is."""
    return hash_files(run_dir, (CONFIG, *RESULTS))


def hash_files(run_dir: Path, names: Iterable[str]) -> Hashes:
    """Hash the files of a run that have one of the names, or lie in a folder of that name."""
    found = {}
    for name in names:
        path = run_dir / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inside = file.relative_to(run_dir).as_posix()
            if file.is_file() and not is_temporary(file) and inside not in TO_BE_REMOVED:
                found[inside] = digest(file)
    return found


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_derived(name: str) -> bool:
    """Return whether scoring writes a file of a run."""
    return name.split("/")[0] in DERIVED


def verify(run_dir: Path, files: Mapping[str, str]) -> None:
    """Verify files of a complete run.

    Args:
        run_dir: Folder of the run.
        files: Their hashes.

    Raises:
        DamagedError: If one is missing, or is not as the run left it.
        OSError: If one cannot be read.
    """
    again = f"run {shlex.join(['python', '-m', 'btxrd.score', str(run_dir)])} again"
    for name, expected in files.items():
        path = run_dir / name
        if not expected:
            raise DamagedError(f"{path}: scoring it did not end; {again}")
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
    """Verify a file if it is one of a complete run.

    Raises:
        InputError: If it is not as the run left it, or if the status of the run is damaged.
        OSError: If it cannot be read.
    """
    path = path.absolute()
    for run_dir in path.parents[:2]:
        status = read_status(run_dir)
        if status is not None and status.state == "complete" and status.files is not None:
            name = path.relative_to(run_dir).as_posix()
            verify(run_dir, {name: status.files[name]} if name in status.files else {})
