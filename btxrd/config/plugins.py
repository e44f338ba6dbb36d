"""Use of Hydra plugins: the launcher for Slurm, and the sweeper of Optuna."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from btxrd.config.commandline import override
from btxrd.config.compose import OURS, hydra_over_conf, job_spec, parse
from btxrd.config.jobspec import Context, JobSpec
from btxrd.config.request import Point, Request, compose_one_of
from btxrd.errors import InputError

Result = float | None | Exception  # objective of a run, or the exception if it failed
Job = Callable[[Any], float | None]  # a function that a plugin calls with the config of a run


def launch(
    request: Request,
    points: Sequence[Point],
    names: Sequence[str],
    job: Job,
    settings: dict[str, Any],
    first: int = 0,
) -> list[Result]:
    """Execute runs with the selected launcher plugin, and wait for them.

    Args:
        request: The composed command line.
        points: Runs to execute.
        names: Names of their folders in the folder of the sweep.
        job: Function that executes one run. It must be at the top level of a module.
        settings: Options of the launcher to set, by key.
        first: Number of the first of these runs in the sweep.
    """
    with _plugins(request, {f"launcher.{key}": value for key, value in settings.items()}) as (
        context,
        base,
    ):
        launcher = Plugins.instance().instantiate_launcher(context, job, base)
        overrides = [
            [*point.overrides, override("hydra.sweep.subdir", name)]
            for point, name in zip(points, names, strict=True)
        ]
        return [_result(returned) for returned in launcher.launch(overrides, first)]


def search(
    request: Request,
    settings: dict[str, Any],
    do_batch: Callable[[list[Point], int], list[Result]],
) -> None:
    """Run a search: the selected sweeper proposes runs in batches.

    Args:
        request: The composed command line.
        settings: Options of the sweeper to set, by key.
        do_batch: Function that executes runs; the first of them has the given number in the sweep.
    """
    with _plugins(request, {f"sweeper.{key}": value for key, value in settings.items()}) as (
        context,
        base,
    ):

        def do(batch: tuple[Sequence[Sequence[str]], int]) -> list[JobReturn]:
            overrides, first = batch
            found: dict[int, Result] = {}
            points: dict[int, Point] = {}
            for number, given in enumerate(overrides, first):
                try:
                    points[number] = compose_one_of(
                        context.config_loader, base, tuple(given), number
                    )
                except (InputError, HydraException) as error:
                    found[number] = error
            results = do_batch(list(points.values()), first) if points else []
            found |= zip(points, results, strict=True)
            return [
                _returned(given, found[number]) for number, given in enumerate(overrides, first)
            ]

        typed = OmegaConf.to_container(base.hydra.overrides.task, resolve=False)
        with open_dict(base.hydra):
            base.hydra.launcher = {"_target_": OURS}
        sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=context, task_function=do, config=base
        )
        sweeper.sweep(cast(list[str], typed))


@contextmanager
def _plugins(
    request: Request, settings: dict[str, Any]
) -> Iterator[tuple[HydraContext, DictConfig]]:
    """Initialise Hydra with the composed config and additional options."""
    base: DictConfig = pickle.loads(request.base)
    for key, value in settings.items():
        OmegaConf.update(base.hydra, key, value, force_add=True)
    with hydra_over_conf(request.config_dir) as loader:
        configure_log(base.hydra.hydra_logging, base.hydra.verbose)
        yield HydraContext(loader, cast(Any, Callback())), base


def job_of(task: DictConfig) -> tuple[Path, JobSpec, Context]:
    """Return the folder, the specification and the sweep of the run of a launcher's job.

    Raises:
        InputError: If a value of the config is wrong.
    """
    hydra = HydraConfig.get()
    context = Context(
        sweep_dir=Path(hydra.sweep.dir).absolute(),
        is_search=hydra.runtime.choices["hydra/sweeper"] != "basic",
    )
    return Path(hydra.runtime.output_dir), job_spec(parse(task), task, hydra), context


def _returned(overrides: Sequence[str], result: Result) -> JobReturn:
    is_failed = isinstance(result, Exception)
    status = JobStatus.FAILED if is_failed else JobStatus.COMPLETED
    return JobReturn(overrides=overrides, status=status, _return_value=result)


def _result(returned: JobReturn) -> Result:
    if returned.status == JobStatus.COMPLETED:
        return cast(float | None, returned.return_value)
    return cast(Exception, returned._return_value)
