"""Checkpoints that were there before the first sweep."""

import logging
import shutil
from pathlib import Path

from btxrd.runtime.files import atomic_write

log = logging.getLogger(__name__)


def backup_checkpoints(folder: Path) -> None:
    """Copy the *.pt files that lie in `folder` into its backup_b0_baseline/, each once.

    A copy that is there is never replaced, so the first baseline survives.
    """
    backup = folder / "backup_b0_baseline"
    for path in sorted(folder.glob("*.pt")):
        copy = backup / path.name
        if not copy.exists():
            with atomic_write(copy) as beside:
                shutil.copy2(path, beside)
            log.info("Copied %s to %s", path, copy)
