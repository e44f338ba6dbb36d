"""A search that was cut off: what is left of it, and how it goes on."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Search:
    """A study of Optuna.

    Attributes:
        storage: its URL; None keeps it in memory, where it does not survive.
        name: of the study in the storage.
        direction: `maximize` or `minimize`.
        trials: to be complete in the end.
        seed: of the sampler; None where it has none.
    """

    storage: str | None
    name: str | None
    direction: str
    trials: int
    seed: int | None


def resume(search: Search, sweep_dir: Path) -> list[str]:
    """Set a study up to go on; returns overrides for the sweeper.

    Trials that were cut off are tried again first, with the same values and so in the same folders.
    A sampler with a fixed seed would propose again what was tried, so the seed moves on.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    if search.storage is None:
        return []
    sweep_dir.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=search.storage,
        study_name=search.name,
        direction=search.direction,
        load_if_exists=True,
    )
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
    overrides = [f"hydra.sweeper.n_trials={max(0, search.trials - complete)}"]
    if search.seed is not None:
        overrides.append(f"hydra.sweeper.sampler.seed={search.seed + len(trials)}")
    return overrides
