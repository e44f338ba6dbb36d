"""Checks before the first run: the folders, models, data and splits of the runs."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from btxrd.artifacts.plan import PLAN, read_plan
from btxrd.artifacts.status import STATUS
from btxrd.config.schema import Config, DataConfig
from btxrd.errors import DamagedError, InputError
from btxrd.execution.ahead.space import Counts, count, needs, phantom_needs
from btxrd.execution.status import LOCK, is_complete, remove_resume_state
from btxrd.model.preflight import Candidate, check_models
from btxrd.runtime.files import remove_leftovers_of_cache
from btxrd.runtime.folders import check_space, inside, refuse_foreign, refuse_readonly

T = TypeVar("T")

OF_SWEEP = (
    LOCK, "stop", "multirun.yaml", "study.db", "summary.csv", "summary.json", "report.html",
    ".submitit",
)  # fmt: skip


@dataclass
class Findings:
    """The result of `check_runs`.

    Attributes:
        complete: Folders of the complete runs.
        refused: Reason for which a run is refused, by folder: the folder contains another run.
        faults: Error in the model, data or split of a run, by folder. The run would fail.
        counts: Number of cases of each other run, by folder.
        sizes: Size of the weights of each run in bytes, by folder; 0 if unknown.
        warnings: Warnings about possible problems, such as scarce disk space.
    """

    complete: list[Path] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    faults: dict[Path, list[str]] = field(default_factory=dict)
    counts: dict[Path, Counts] = field(default_factory=dict)
    sizes: dict[Path, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Return each error once."""
        return list(dict.fromkeys(chain(self.refused.values(), *self.faults.values())))

    def add_fault(self, folders: Iterable[Path], fault: str) -> None:
        """Record an error of the runs in some folders."""
        for folder in folders:
            self.faults.setdefault(folder, []).append(fault)


def check_sweep_folder(sweep_dir: Path, runs: Iterable[Config]) -> None:
    """Check the folder of a sweep, which may contain the data and the cache of its runs.

    Raises:
        InputError: If btxrd did not create the folder, or if it is not writable.
    """
    place = f"hydra.sweep.dir={sweep_dir}"
    if (sweep_dir / STATUS).is_file():
        raise InputError(f"{place}: is the folder of a run; name another one")
    data = {path for config in runs for path in (config.data.root, config.data.cache)}
    begun = {LOCK, *inside(sweep_dir, *data)}
    refuse_foreign(sweep_dir, place, lambda: _holds_sweep(sweep_dir), begun)
    refuse_readonly(sweep_dir, place)


def _holds_sweep(sweep_dir: Path) -> bool:
    """Return whether a folder contains the plan of a sweep, or only runs."""
    with suppress(DamagedError, OSError):  # the next plan replaces it
        plan = read_plan(sweep_dir)
        if plan.runs or plan.launched:
            return True
    others = [
        path
        for path in sweep_dir.iterdir()
        if path.name not in OF_SWEEP and not path.name.startswith(PLAN)  # damaged ones are kept
    ]
    return bool(others) and all(any(path.rglob(STATUS)) for path in others)


def check_runs(runs: dict[Path, Config], *, is_local: bool = True) -> Findings:
    """Check the folders, the models, the data and the splits of runs.

    Args:
        runs: Configs by folder.
        is_local: Whether this machine executes the runs. It must then have their device.

    Raises:
        InputError: If a disk has too little space for the runs.
    """
    found = Findings()
    to_come: dict[Path, Config] = {}
    for run_dir, config in runs.items():
        try:
            if is_complete(run_dir, config):
                remove_resume_state(run_dir)
                found.complete.append(run_dir)
            else:
                to_come[run_dir] = config
        except InputError as error:
            found.refused[run_dir] = str(error)
        except OSError as error:
            found.refused[run_dir] = f"{error.filename or run_dir}: {error.strerror}"
    _check_caches(to_come, found)
    to_come = {folder: to_come[folder] for folder in to_come if folder not in found.faults}
    _check_models(to_come, found, is_local)
    for data in _distinct([config.data for config in to_come.values()]):
        of_data = {folder: config for folder, config in to_come.items() if config.data == data}
        _check_data(data, of_data, found)
    sound = {folder: config for folder, config in to_come.items() if folder in found.counts}
    found.warnings += check_space(needs(sound, found.counts, found.sizes, is_local=is_local))
    return found


def _check_caches(runs: dict[Path, Config], found: Findings) -> None:
    for cache in dict.fromkeys(config.data.cache for config in runs.values()):
        try:
            refuse_readonly(Path(cache), f"data.cache={cache}")
            remove_leftovers_of_cache(Path(cache))
        except InputError as error:
            of_cache = [folder for folder in runs if runs[folder].data.cache == cache]
            found.add_fault(of_cache, str(error))


def _check_models(runs: dict[Path, Config], found: Findings, is_local: bool) -> None:
    models = {
        folder: Candidate(
            replace(config.model, dropout=0.0, test_flip=False),
            config.annotations.kind == "lesion",
            config.device if is_local else "auto",
        )
        for folder, config in runs.items()
    }
    if not models:
        return
    asked = _distinct(list(models.values()))
    cache = next(iter(runs.values())).data.cache
    for model, checked in zip(asked, check_models(asked, Path(cache)), strict=True):
        of_model = [folder for folder in models if models[folder] == model]
        if checked.fault is not None:
            found.add_fault(of_model, checked.fault)
        found.sizes |= dict.fromkeys(of_model, checked.size)


def _check_data(data: DataConfig, runs: dict[Path, Config], found: Findings) -> None:
    from btxrd.data.dataset import assign_cases  # loads pandas, only for runs to do
    from btxrd.data.inspection import inspect
    from btxrd.data.leakage import check_split
    from btxrd.phantom.write import ensure_phantom

    try:
        found.warnings += check_space(phantom_needs(data))
        ensure_phantom(data)
        inspection = inspect(Path(data.root), Path(data.cache), strict=True)
    except InputError as error:
        found.add_fault(runs, str(error))
        return
    for split in _distinct([config.split for config in runs.values()]):
        of_split = [folder for folder in runs if runs[folder].split == split]
        try:
            cases = assign_cases(inspection, data, split)
            check_split(cases, split)
            sound = (folder for folder in of_split if folder not in found.faults)
            found.counts |= dict.fromkeys(sound, count(cases, inspection.outlines))
        except InputError as error:
            found.add_fault(of_split, str(error))


def _distinct(items: list[T]) -> list[T]:
    """Return the items without duplicates. Configs have no hash."""
    return [item for place, item in enumerate(items) if item not in items[:place]]
