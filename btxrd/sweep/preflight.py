"""What is looked at before anything runs."""

from pathlib import Path
from typing import TypeVar

from btxrd.schema import Config
from btxrd.sweep.ledger import is_complete

T = TypeVar("T")


def check_runs(runs: dict[Path, Config]) -> list[Path]:
    """Check the folders, the data and the splits of runs.

    Args:
        runs: the config of each run by its folder.

    Returns:
        The folders of the runs that are complete already.

    Raises:
        InputError: for a folder that holds a complete run of another config, for data that cannot
            be used, and for a split that leaks or lacks a class.
    """
    complete = [run_dir for run_dir, config in runs.items() if is_complete(run_dir, config)]
    to_come = [config for run_dir, config in runs.items() if run_dir not in complete]
    if to_come:
        from btxrd.data.dataset import deal_cases, inspect_data  # pandas, for these only
        from btxrd.data.leakage import check_split

        for data in _distinct([config.data for config in to_come]):
            found = inspect_data(data)
            for split in _distinct([config.split for config in to_come if config.data == data]):
                check_split(deal_cases(found, data, split), split)
    return complete


def _distinct(items: list[T]) -> list[T]:
    """Items that are equal once; configs have no hash."""
    return [item for place, item in enumerate(items) if item not in items[:place]]
