"""The folder that Hydra names for a run or a sweep."""

import os
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from btxrd.errors import InputError


def literal(path: Path) -> str:
    """Return a path for a config, in which `${` would begin an interpolation."""
    return str(path).replace("${", r"\${")


@dataclass(frozen=True)
class Folder:
    """The folder of a run or of a sweep.

    Attributes:
        path: Its path, which does not exist yet if the folder is a new one.
        is_new: Whether each command gets a folder of its own, named by the second.
    """

    path: Path
    is_new: bool

    @classmethod
    def of(cls, node: DictConfig, key: str) -> "Folder":
        """Read `hydra.run.dir` or `hydra.sweep.dir`.

        Raises:
            InputError: If it is no name of a folder.
        """
        if OmegaConf.is_missing(node, "dir") or not isinstance(node.dir, str | Path):
            raise InputError(f"{key}: has no value; give it as {key}=FOLDER")
        given = str(node.dir)
        if not given or "\0" in given:
            raise InputError(f"{key}={given!r}: is no name of a folder")
        raw = OmegaConf.to_container(node, resolve=False)
        is_new = isinstance(raw, dict) and "%S" in str(raw["dir"])
        path, number = Path(given), 2
        while is_new and os.path.lexists(path):
            path, number = Path(f"{given}-{number}"), number + 1
        return cls(path, is_new)

    def claim(self) -> bool:
        """Make a new folder; return False if another command has made it meanwhile."""
        if self.is_new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.path.mkdir()
            except FileExistsError:
                return False
        return True
