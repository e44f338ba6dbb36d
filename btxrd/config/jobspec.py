"""What the process of a run is given to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btxrd.config.schema import Config

BASIC, JOBLIB, SLURM = "BasicLauncher", "JoblibLauncher", "SlurmLauncher"


@dataclass(frozen=True)
class JobSpec:
    """One run, as plain values that can be pickled.

    Attributes:
        config: Config of the run.
        choices: Config group options that it was composed from.
        logging: Dictionary for `logging.config`.
        record: Files of `.hydra/`, by name.
    """

    config: Config
    choices: dict[str, str]
    logging: Any
    record: dict[str, str]


@dataclass(frozen=True)
class Context:
    """Where a job runs.

    Attributes:
        sweep_dir: Folder of the sweep; None for a single run.
        launcher: Class name of the launcher.
        is_search: Whether a sweeper chooses the next runs by the value that this run returns.
    """

    sweep_dir: Path | None
    launcher: str
    is_search: bool
