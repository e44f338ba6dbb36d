"""What is looked at before anything runs."""

from pathlib import Path

from btxrd.schema import Config
from btxrd.sweep.ledger import is_complete


def check_runs(runs: dict[Path, Config]) -> list[Path]:
    """Check the folders and the tables of runs; films are looked at by the runs themselves.

    Args:
        runs: the config of each run by its folder.

    Returns:
        The folders of the runs that are complete already.

    Raises:
        InputError: for a folder that holds a complete run of another config, and for data that
            cannot be used.
    """
    complete = [run_dir for run_dir, config in runs.items() if is_complete(run_dir, config)]
    checked: list[object] = []
    for run_dir, config in runs.items():
        wanted = (config.data, config.split)
        if run_dir not in complete and wanted not in checked:
            from btxrd.data.dataset import split_cases  # pandas, for runs that are to come only

            split_cases(*wanted)
            checked.append(wanted)
    return complete
