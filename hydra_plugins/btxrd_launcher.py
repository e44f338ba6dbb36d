"""The launcher that sweepers of Hydra hand their batches of runs to.

Hydra accepts plugins from this namespace package only. It imports the module whenever it looks for
plugins, so the module loads nothing of btxrd.
"""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class BatchLauncher(Launcher):
    """Hand each batch to the task function, which `btxrd.config.plugins` passes to the sweeper."""

    def __init__(self, n_jobs: int | None = None) -> None:
        """Take the options of conf/hydra/launcher/; btxrd reads them before."""
        self.n_jobs = n_jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the function that does a batch."""
        self.do_batch = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Do a batch of runs, and return what came of each."""
        found: Sequence[JobReturn] = self.do_batch((job_overrides, initial_job_idx))
        return found
