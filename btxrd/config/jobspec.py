"""What the process of a run is given to do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from btxrd.config.schema import Config

LOG = "run.log"


@dataclass(frozen=True)
class JobSpec:
    """One run, as plain values that can be pickled.

    Attributes:
        config: Config of the run.
        choices: Config group options that it was composed from.
        logging: Dictionary for `logging.config`.
        record: Files of `.hydra/`, by name.
        environment: Variables that `hydra.job.env_set` gives to its process.
    """

    config: Config
    choices: dict[str, str]
    logging: Any
    record: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a run belongs to.

    Attributes:
        sweep_dir: Folder of the sweep.
        is_search: Whether a sweeper chooses the next runs by the value that this run returns.
    """

    sweep_dir: Path
    is_search: bool
