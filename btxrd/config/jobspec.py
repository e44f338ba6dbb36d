"""The specification of a run that its process receives."""

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
        choices: Config group options from which the config was composed.
        logging: Dictionary for `logging.config`.
        record: Content of the files of `.hydra/`, by name.
        environment: Environment variables from `hydra.job.env_set`.
    """

    config: Config
    choices: dict[str, str]
    logging: Any
    record: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The sweep that a run belongs to.

    Attributes:
        sweep_dir: Folder of the sweep.
        is_search: Whether a sweeper chooses the next runs by the value that this run returns.
    """

    sweep_dir: Path
    is_search: bool
