"""A search that was cut off: what is left of it, and how it goes on."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

from btxrd.errors import InputError


@dataclass(frozen=True)
class Search:
    """A study of Optuna.

    Attributes:
        storage: its URL; None puts it beside the runs.
        name: of the study in the storage.
        trials: to be complete in the end.
        seed: of the sampler; None where it has none.
        config: fingerprint of what the search leaves alone.
    """

    storage: str | None
    name: str | None
    trials: int
    seed: int | None
    config: str


def resume(search: Search, sweep_dir: Path) -> list[str]:
    """Set a study up to begin or to go on; returns overrides for the sweeper.

    Trials that were cut off are tried again first, with the same values and so in the same folders.
    A sampler with a fixed seed would propose again what was tried, so the seed moves on.

    Raises:
        InputError: where the study is over another config.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    sweep_dir.mkdir(parents=True, exist_ok=True)
    storage = search.storage or f"sqlite:///{sweep_dir / 'study.db'}"
    name = search.name or "btxrd"
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    if study.user_attrs.setdefault("config", search.config) != search.config:
        raise InputError(
            f"{storage}: holds a search over another config; name another hydra.sweep.dir"
        )
    study.set_user_attr("config", search.config)
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
    overrides = [
        f"hydra.sweeper.storage='{storage}'",
        f"hydra.sweeper.study_name='{name}'",
        "hydra.sweeper.direction=maximize",  # val macro AUC
        "hydra.sweeper.max_failure_rate=1",  # of a batch; max_failed limits the whole search
        f"hydra.sweeper.n_trials={max(0, search.trials - complete)}",
    ]
    if search.seed is not None:
        overrides.append(f"hydra.sweeper.sampler.seed={search.seed + len(trials)}")
    return overrides
