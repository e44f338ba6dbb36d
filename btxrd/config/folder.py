"""The folder that Hydra names for a run or a sweep."""

import os
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from btxrd.errors import InputError


def literal(path: Path) -> str:
    """Return a path as a config value, with `${` escaped so that it is not interpolated."""
    return str(path).replace("${", r"\${")


@dataclass(frozen=True)
class Folder:
    """The folder of a run or of a sweep.

    Attributes:
        path: Path of the folder. A new folder does not exist yet.
        is_new: Whether each command gets a new folder, named by its start time in seconds.
    """

    path: Path
    is_new: bool

    @classmethod
    def of(cls, node: DictConfig, key: str) -> "Folder":
        """Read `hydra.run.dir` or `hydra.sweep.dir`.

        Raises:
            InputError: If the value is missing or is not a valid folder name.
        """
        if OmegaConf.is_missing(node, "dir") or not isinstance(node.dir, str | Path):
            raise InputError(f"{key}: has no value; give it as {key}=FOLDER")
        given = str(node.dir)
        if not given or "\0" in given:
            raise InputError(f"{key}={given!r}: is not a valid folder name")
        raw = OmegaConf.to_container(node, resolve=False)
        is_new = isinstance(raw, dict) and "%S" in str(raw["dir"])
        path, number = Path(given), 2
        while is_new and os.path.lexists(path):
            path, number = Path(f"{given}-{number}"), number + 1
        return cls(path, is_new)

    def claim(self) -> bool:
        """Create the folder if it is new. Return False if another command has just created it."""
        if self.is_new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.path.mkdir()
            except FileExistsError:
                return False
        return True
