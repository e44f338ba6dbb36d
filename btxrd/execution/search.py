"""A search: Optuna proposes runs, which are executed in batches. A killed search can be resumed."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

from btxrd.config import plugins
from btxrd.config.plugins import Job, Result
from btxrd.config.request import Point, Sweeper
from btxrd.errors import InputError
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.job import Sweep, do_points
from btxrd.execution.planning import Plan, folder_of
from btxrd.execution.stop import Stop

Settings = dict[str, Any]  # options of a sweeper by dotted key


def search(plan: Plan, sweep: Sweep, job: Job) -> None:
    """Let the sweeper of a plan propose runs, and execute them in batches.

    Args:
        plan: Plan of the command.
        sweep: The sweep that the runs belong to.
        job: Function with which a launcher plugin executes one run.

    Raises:
        InputError: If the study belongs to another config.
        SystemExit: If the sweep must stop. A trial without a result is tried again later.
    """
    assert plan.sweeper is not None
    (fixed,) = plan.points.values()
    settings: Settings = {}
    if plan.sweeper.trials is not None:
        settings = resume(plan.sweeper, plan.folder, fingerprint(fixed.config))
        if plan.launcher.is_local:
            settings["n_jobs"] = sweep.at_once

    def do_batch(points: list[Point], first: int) -> list[Result]:
        run_dirs = [folder_of(plan.folder, point, fixed.overrides) for point in points]
        results = do_points(plan, list(zip(run_dirs, points, strict=True)), sweep, job, first)
        if sweep.stop() != Stop.NO:
            sys.exit(1)
        return results

    plugins.search(plan.request, settings, do_batch)


def resume(sweeper: Sweeper, sweep_dir: Path, config: str) -> Settings:
    """Prepare a new study of Optuna, or one to resume. Return the options of the sweeper.

    Interrupted trials are repeated first, with the same values and therefore in the same folders. A
    sampler with a fixed seed would propose the same values again, so the seed is raised.

    Args:
        sweeper: Requested options.
        sweep_dir: Folder of the sweep.
        config: Fingerprint of the settings that the search does not vary.

    Raises:
        InputError: If the study belongs to another config.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    sweep_dir.mkdir(parents=True, exist_ok=True)
    storage = sweeper.storage or _url(sweep_dir / "study.db")
    name = sweeper.study or "btxrd"
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    if study.user_attrs.setdefault("config", config) != config:
        raise InputError(
            f"{storage}: contains a search over another config; set another hydra.sweep.dir"
        )
    study.set_user_attr("config", config)
    queued = [
        trial.system_attrs.get("fixed_params")
        for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    ]
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.params and trial.params not in queued:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.enqueue_trial(trial.params)
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    settings = {
        "storage": storage,
        "study_name": name,
        "direction": "maximize",  # val macro AUC
        "max_failure_rate": 1.0,  # in a batch; max_failed limits the whole search
        "n_trials": max(0, (sweeper.trials or 0) - complete),
    }
    if sweeper.seed is not None:
        settings["sampler.seed"] = sweeper.seed + len(trials)
    return settings


def _url(path: Path) -> str:
    """Return the URL of an SQLite file. A path with special characters is written as a URI."""
    quoted = quote(str(path))
    return f"sqlite:///{path}" if quoted == str(path) else f"sqlite:///file:{quoted}?uri=true"
