"""The CSV files of a run: their columns, readers and writers.

A CSV file does not contain the number of its format. A reader accepts the names that its columns
had in older formats.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.errors import ParserWarning

from btxrd.artifacts.metrics import OLD_VARIANTS
from btxrd.errors import DamagedError
from btxrd.runtime.files import read_file, write_bytes

PARTITIONS = ("train", "val", "test")
PROBABILITY = "prob_{}"  # column of a class


@dataclass(frozen=True)
class SplitRow:
    """A row of split.csv: a case and its partition.

    Attributes:
        image_id: Name of the image in the table of the data set.
        label: Name of the class.
        center: Number of the center.
        group: Name of the group.
        partition: `train`, `val` or `test`.
    """

    image_id: str
    label: str
    center: int
    group: str
    partition: str


@dataclass(frozen=True)
class HistoryRow:
    """A row of history.csv: an epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        lr: Learning rate of the last step.
        train_loss: Mean training loss.
        val_loss: Unweighted cross-entropy on val.
        val_accuracy: Accuracy on val.
        val_macro_auc: Macro AUC on val; empty if it is undefined.
        seconds: Duration of the epoch.
        images_per_second: Throughput of the training steps.
    """

    epoch: int
    lr: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_macro_auc: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class PredictionRow:
    """A row of predictions.csv: a val or test case; a column `prob_CLASS` per class follows.

    Attributes:
        image_id: Name of the image in the table of the data set.
        partition: `val` or `test`.
        label: Name of the true class.
    """

    image_id: str
    partition: str
    label: str


@dataclass(frozen=True)
class ShortcutRow:
    """A row of shortcuts.csv: a test case under one variant, with probabilities as above.

    Attributes:
        image_id: Name of the image in the table of the data set.
        partition: `test`.
        label: Name of the true class.
        variant: Masking variant, `unmodified`, or baseline without pixel input.
    """

    image_id: str
    partition: str
    label: str
    variant: str


@dataclass(frozen=True)
class LocalisationRow:
    """A row of gradcam.csv or lesion_maps.csv: localisation scores of the map of a test tumour.

    Scores are empty for a map that is not `ok`; see `btxrd.evaluation.localisation`.

    Attributes:
        image_id: Name of the image in the table of the data set.
        label: Name of the true class.
        predicted: Name of the predicted class.
        center: Number of the center.
        group: Name of the group.
        map: `ok`, `empty` or `saturated`.
        lesion_share: Share of the image that the lesion covers. It is the chance level of the next
            two scores.
        peak_inside: 1 if the maximum of the map is on the lesion, otherwise 0.
        energy_inside: Share of the sum of the map that is on the lesion.
        iou: Intersection over union of the lesion and the highest part of the map with the same
            area.
        iou_by_chance: Chance level of `iou`.
        peak_inside_of_others: Mean `peak_inside` of the maps of other images on this lesion.
        energy_inside_of_others: Mean `energy_inside` of the maps of other images on this lesion.
        iou_of_others: Mean `iou` of the maps of other images on this lesion.
    """

    image_id: str
    label: str
    predicted: str
    center: int
    group: str
    map: str
    lesion_share: float
    peak_inside: float
    energy_inside: float
    iou: float
    iou_by_chance: float
    peak_inside_of_others: float
    energy_inside_of_others: float
    iou_of_others: float


@dataclass(frozen=True)
class Table:
    """A kind of CSV file.

    Attributes:
        name: Name of the file.
        row: Dataclass of its columns.
        has_probabilities: Whether a column `prob_CLASS` per class follows.
        decimals: Number of decimals of its floats; None for all digits.
        old_columns: Present name of a column by its name in an older format.
        old_values: By column, present value by the value in an older format.
    """

    name: str
    row: type[Any]
    has_probabilities: bool = False
    decimals: int | None = None
    old_columns: dict[str, str] = field(default_factory=dict)
    old_values: dict[str, dict[str, str]] = field(default_factory=dict)


SPLIT = Table("split.csv", SplitRow)
HISTORY = Table("history.csv", HistoryRow)
PREDICTIONS = Table("predictions.csv", PredictionRow, has_probabilities=True, decimals=9)
SHORTCUTS = Table(
    "shortcuts.csv", ShortcutRow, has_probabilities=True, decimals=9,
    old_columns={"way": "variant"}, old_values={"variant": OLD_VARIANTS},
)  # fmt: skip
GRADCAM = Table("gradcam.csv", LocalisationRow, decimals=6, old_columns={"called": "predicted"})
LESION_MAPS = Table(
    "lesion_maps.csv", LocalisationRow, decimals=6, old_columns={"called": "predicted"}
)


def columns_of(table: Table, classes: Sequence[str] = ()) -> list[str]:
    """Return the names of the columns of a file, in the order of the dataclass.

    Args:
        table: Kind of file.
        classes: Class names, for a file with probabilities.
    """
    names = [item.name for item in fields(table.row)]
    if table.has_probabilities:
        names += [PROBABILITY.format(name) for name in classes]
    return names


def read_table(run_dir: Path, table: Table, classes: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file of a run, with the present names of its columns.

    Cells are read as text and converted to the types of the dataclass, so that the number is
    exactly the one that was written. Other columns remain text.

    Args:
        run_dir: Folder of the run.
        table: Kind of file.
        classes: Class names, for a file with probabilities.

    Raises:
        DamagedError: If the file is damaged or lacks a column.
        OSError: If the file cannot be read.
    """
    path = run_dir / table.name
    try:
        return _typed(_cells(read_file(path)), table, classes)
    except (ValueError, TypeError, OverflowError, ParserWarning) as error:  # also pandas' own
        raise DamagedError(f"{path}: is damaged ({str(error)[:200]})") from error


def _cells(content: bytes) -> pd.DataFrame:
    """Return the cells of a CSV file as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)  # raised if a row is longer than the header
        found = pd.read_csv(
            io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8", index_col=False
        )
    if found.isna().any(axis=None):
        raise ValueError("a row has too few cells")
    return found


def _typed(cells: pd.DataFrame, table: Table, classes: Sequence[str]) -> pd.DataFrame:
    """Return a table with the present names, values and types of its columns."""
    found = cells.rename(columns=table.old_columns)
    if found.columns.has_duplicates:
        raise ValueError("has a column twice")
    for column, values in table.old_values.items():
        if column in found:
            found[column] = found[column].replace(values)
    types = get_type_hints(table.row)
    for name in columns_of(table, classes):
        if name not in found:
            raise ValueError(f"lacks the column {name}")
        try:
            found[name] = _converted(found[name], types.get(name, float))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return found


def _converted(cells: pd.Series, kind: type) -> pd.Series:
    """Convert text to numbers, and empty cells to NaN, if `kind` is float."""
    if kind is float:
        return cells.replace("", "nan").astype(float)
    return cells.astype(kind)


def write_table(
    run_dir: Path, table: Table, rows: pd.DataFrame, classes: Sequence[str] = ()
) -> None:
    """Write a CSV file of a run atomically, with the columns of its dataclass only."""
    write_bytes(run_dir / table.name, table_content(table, rows, classes))


def table_content(table: Table, rows: pd.DataFrame, classes: Sequence[str] = ()) -> bytes:
    """Return the content of a CSV file, with the columns of its dataclass only."""
    decimals = None if table.decimals is None else f"%.{table.decimals}f"
    text = rows[columns_of(table, classes)].to_csv(
        index=False, float_format=decimals, lineterminator="\n"
    )
    return str(text).encode()


def labels_and_probs(
    rows: pd.DataFrame, classes: Sequence[str]
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float64]]:
    """Return the labels and the probabilities of rows.

    Args:
        rows: Rows of predictions.csv or shortcuts.csv.
        classes: Names of the k classes, in the order of the labels.

    Returns:
        (n,) labels in 0..k-1, and (n, k) probabilities.

    Raises:
        ValueError: If a label is none of the classes, or a probability is not a number.
    """
    labels = rows["label"].map({name: label for label, name in enumerate(classes)})
    probs = rows[[PROBABILITY.format(name) for name in classes]].to_numpy(float)
    if labels.isna().any():
        wrong = rows["label"][labels.isna()].iloc[0]
        raise ValueError(f"label={wrong}: must be one of {', '.join(classes)}")
    if not np.isfinite(probs).all():
        raise ValueError("a probability is not a number")
    return labels.to_numpy(int), probs
