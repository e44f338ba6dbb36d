"""What is looked at before anything runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from btxrd.errors import InputError
from btxrd.schema import Config, DataConfig
from btxrd.sweep.ledger import is_complete, tidy

T = TypeVar("T")


@dataclass
class Findings:
    """What `check_runs` found.

    Attributes:
        complete: folders of the runs that are complete already.
        refused: why a folder must not be touched, by folder: it holds the run of another config.
        faults: what is wrong with the data or the split of a run, by folder; the run will fail.
        cases: of the data of the other runs, by folder.
    """

    complete: list[Path] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    faults: dict[Path, str] = field(default_factory=dict)
    cases: dict[Path, int] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """Each thing that is wrong, once."""
        return list(dict.fromkeys([*self.refused.values(), *self.faults.values()]))


def check_runs(runs: dict[Path, Config]) -> Findings:
    """Check the folders, the data and the splits of runs that are to be done."""
    found = Findings()
    to_come: dict[Path, Config] = {}
    for run_dir, config in runs.items():
        try:
            if is_complete(run_dir, config):
                tidy(run_dir)
                found.complete.append(run_dir)
            else:
                to_come[run_dir] = config
        except InputError as error:
            found.refused[run_dir] = str(error)
    for data in _distinct([config.data for config in to_come.values()]):
        of_data = {folder: config for folder, config in to_come.items() if config.data == data}
        _check_data(data, of_data, found)
    return found


def _check_data(data: DataConfig, runs: dict[Path, Config], found: Findings) -> None:
    from btxrd.data.dataset import deal_cases, inspect_data  # pandas, for runs to come only
    from btxrd.data.leakage import check_split

    try:
        inspection = inspect_data(data)
    except InputError as error:
        found.faults |= dict.fromkeys(runs, str(error))
        return
    for split in _distinct([config.split for config in runs.values()]):
        of_split = [folder for folder in runs if runs[folder].split == split]
        try:
            cases = deal_cases(inspection, data, split)
            check_split(cases, split)
            found.cases |= dict.fromkeys(of_split, len(cases))
        except InputError as error:
            found.faults |= dict.fromkeys(of_split, str(error))


def _distinct(items: list[T]) -> list[T]:
    """Items that are equal once; configs have no hash."""
    return [item for place, item in enumerate(items) if item not in items[:place]]
