"""Define the launcher to which Hydra's sweepers pass their batches of runs.

Hydra accepts plugins from this namespace package only. It imports this module whenever it searches
for plugins. To save time, the module imports nothing from btxrd.
"""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class BatchLauncher(Launcher):
    """Launcher that passes each batch to the task function, which `btxrd.config.plugins` sets."""

    def __init__(self, n_jobs: int | None = None) -> None:
        """Store the options of conf/hydra/launcher/. They have no effect here: btxrd reads them."""
        self.n_jobs = n_jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store the function that does a batch."""
        self.do_batch = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Do a batch of runs, and return the result of each."""
        found: Sequence[JobReturn] = self.do_batch((job_overrides, initial_job_idx))
        return found
