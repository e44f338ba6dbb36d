"""The CSV files of a run, read and checked against each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from btxrd.artifacts.tables import (
    HISTORY,
    PARTITIONS,
    PREDICTIONS,
    SHORTCUTS,
    SPLIT,
    Table,
    labels_and_probs,
    read_table,
)
from btxrd.errors import DamagedError

CASE = ["image_id", "partition", "label"]  # columns that identify a case in several files
MAPS = ("ok", "empty", "saturated")  # kinds of maps
MAY_BE_UNDEFINED = ("val_macro_auc",)  # columns of history.csv
TOLERANCE = 1e-3  # for the sum of the probabilities of a case, and for the ends of a score


def read_split(run_dir: Path) -> pd.DataFrame:
    """Read split.csv, and check that it has each case once.

    Raises:
        DamagedError: If the file is damaged.
        OSError: If the file cannot be read.
    """
    rows = read_table(run_dir, SPLIT)
    _refuse(run_dir, SPLIT, rows, rows["image_id"].duplicated(), "is there twice")
    _refuse(run_dir, SPLIT, rows, ~rows["partition"].isin(PARTITIONS), "is in no known partition")
    return rows


def read_history(run_dir: Path) -> pd.DataFrame:
    """Read history.csv, and check that its epochs are complete and in order; it may have none.

    Raises:
        DamagedError: If the file is damaged.
        OSError: If the file cannot be read.
    """
    rows = read_table(run_dir, HISTORY)
    numbers = rows.drop(columns=[*MAY_BE_UNDEFINED]).select_dtypes("number")
    is_wrong = ~np.isfinite(numbers.to_numpy(float)).all(axis=1) | np.isinf(rows["val_macro_auc"])
    is_wrong |= (rows["epoch"] != np.arange(1, len(rows) + 1)) | (rows["seconds"] < 0)
    if is_wrong.any():
        line = 2 + int(is_wrong.to_numpy().argmax())
        raise DamagedError(f"{run_dir / HISTORY.name}: is damaged (line {line} is of no epoch)")
    return rows


def read_predictions(run_dir: Path, classes: Sequence[str], split: pd.DataFrame) -> pd.DataFrame:
    """Read predictions.csv, and check that it has each val and test case of the split once.

    Args:
        run_dir: Folder of the run.
        classes: Class names in the order of the labels.
        split: Rows of split.csv.

    Raises:
        DamagedError: If the file is damaged, or does not fit the split.
        OSError: If the file cannot be read.
    """
    rows = _read_probabilities(run_dir, PREDICTIONS, classes)
    predicted = split[split["partition"].isin(("val", "test"))]
    in_order = [one[CASE].sort_values(CASE).to_numpy().tolist() for one in (rows, predicted)]
    if in_order[0] != in_order[1] or not (rows["partition"] == "test").any():
        raise DamagedError(
            f"{run_dir / PREDICTIONS.name}: is damaged (its cases are not the val and test cases "
            f"of {SPLIT.name})"
        )
    return rows


def read_shortcuts(run_dir: Path, classes: Sequence[str], split: pd.DataFrame) -> pd.DataFrame:
    """Read shortcuts.csv, and check that it has test cases of the split, once per variant.

    Args:
        run_dir: Folder of the run.
        classes: Class names in the order of the labels.
        split: Rows of split.csv.

    Raises:
        DamagedError: If the file is damaged, or does not fit the split.
        OSError: If the file cannot be read.
    """
    rows = _read_probabilities(run_dir, SHORTCUTS, classes)
    is_twice = rows.duplicated(["variant", "image_id"])
    _refuse(run_dir, SHORTCUTS, rows, is_twice, "is there twice in one variant")
    _refuse_others(run_dir, SHORTCUTS, rows, split, CASE)
    return rows


def read_maps(
    run_dir: Path, table: Table, classes: Sequence[str], split: pd.DataFrame
) -> pd.DataFrame:
    """Read gradcam.csv or lesion_maps.csv, and check that it has test cases of the split once.

    Args:
        run_dir: Folder of the run.
        table: `GRADCAM` or `LESION_MAPS`.
        classes: Class names in the order of the labels.
        split: Rows of split.csv.

    Raises:
        DamagedError: If the file is damaged, or does not fit the split.
        OSError: If the file cannot be read.
    """
    rows = read_table(run_dir, table)
    _refuse(run_dir, table, rows, rows["image_id"].duplicated(), "is there twice")
    _refuse(run_dir, table, rows, ~rows["predicted"].isin(classes), "is predicted as no class")
    _refuse(run_dir, table, rows, ~rows["map"].isin(MAPS), "has a map of no known kind")
    scores = rows.drop(columns="center").select_dtypes("number")
    is_wrong = ((scores < -TOLERANCE) | (scores > 1 + TOLERANCE)).any(axis=1)
    is_wrong |= (rows["map"] == "ok") & rows[["peak_inside", "energy_inside", "iou"]].isna().any(
        axis=1
    )
    _refuse(run_dir, table, rows, is_wrong, "has a score that is not from 0 to 1")
    _refuse_others(run_dir, table, rows, split, ["image_id", "label"])
    return rows


def _read_probabilities(run_dir: Path, table: Table, classes: Sequence[str]) -> pd.DataFrame:
    """Read a file with probabilities, and check that they are from 0 to 1 and add up to 1."""
    rows = read_table(run_dir, table, classes)
    try:
        _, probs = labels_and_probs(rows, classes)
    except ValueError as error:
        raise DamagedError(f"{run_dir / table.name}: is damaged ({error})") from error
    is_wrong = ((probs < 0) | (probs > 1)).any(axis=1) | (abs(probs.sum(axis=1) - 1) > TOLERANCE)
    problem = "has probabilities that are not from 0 to 1, or whose sum is not 1"
    _refuse(run_dir, table, rows, pd.Series(is_wrong, rows.index), problem)
    return rows


def _refuse_others(
    run_dir: Path, table: Table, rows: pd.DataFrame, split: pd.DataFrame, columns: list[str]
) -> None:
    """Refuse rows that are not of a test case of the split."""
    test = split.loc[split["partition"] == "test", columns]
    known = set(map(tuple, test.to_numpy().tolist()))
    found = [tuple(row) in known for row in rows[columns].to_numpy().tolist()]
    is_other = ~pd.Series(found, rows.index, dtype=bool)
    _refuse(run_dir, table, rows, is_other, f"is not a test case of {SPLIT.name} as it is there")


def _refuse(
    run_dir: Path, table: Table, rows: pd.DataFrame, is_wrong: "pd.Series[bool]", problem: str
) -> None:
    if is_wrong.any():
        case = str(rows.loc[is_wrong, "image_id"].iloc[0])[:80]
        raise DamagedError(f"{run_dir / table.name}: is damaged ({case} {problem})")
