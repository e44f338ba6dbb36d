"""dataset.xlsx or dataset.csv, and images/: the table of cases, checked."""

from pathlib import Path

import numpy as np
import pandas as pd

from btxrd.errors import InputError
from btxrd.vocabulary import REQUIRED_COLUMNS, TABLES

IMAGE_SUFFIXES = (".jpeg", ".jpg")


def load_cases(root: Path) -> pd.DataFrame:
    """Read the cases of a data set in BTXRD's layout, in the order of their ids.

    Args:
        root: folder that holds `dataset.xlsx` or `dataset.csv`, and `images/`.

    Returns:
        A row a case: the table's own columns, with `image_id` as in the table, `stem` (the id
        without its suffix), `label` (0, 1, 2: an index of CLASSES) and `path` (of the image).

    Raises:
        InputError: for a missing folder, file or column, and for the first row that contradicts
            itself or has no image.
    """
    if not root.is_dir():
        raise InputError(
            f"data.root={root}: no such folder; give the one that holds images/ and dataset.xlsx"
        )
    source = _find_table(root)
    cases = _read_table(source)
    _check_columns(cases, source)
    cases["label"] = _labels(cases, source)
    cases["path"] = _image_paths(cases, root, source)
    order = cases["stem"].str.extract(r"(\d+)$")[0].astype(float)
    return cases.iloc[np.lexsort((cases["stem"], order))].reset_index(drop=True)


def _find_table(root: Path) -> Path:
    found = [root / name for name in TABLES if (root / name).is_file()]
    if not found:
        inside = root / "BTXRD"
        hint = f"; is it data.root={inside}?" if (inside / "images").is_dir() else ""
        raise InputError(f"data.root={root}: holds neither dataset.xlsx nor dataset.csv{hint}")
    if len(found) == 2:
        raise InputError(f"data.root={root}: holds dataset.xlsx and dataset.csv; keep one of them")
    return found[0]


def _read_table(source: Path) -> pd.DataFrame:
    try:
        if source.suffix == ".xlsx":
            cases = pd.read_excel(source, engine="openpyxl")
        else:
            cases = pd.read_csv(source)
    except Exception as error:  # each reader and each kind of damage raises a type of its own
        raise InputError(f"{source}: cannot be read as a table ({error})") from error
    cases.columns = [str(name).strip() for name in cases.columns]
    return cases.dropna(how="all").reset_index(drop=True)


def _check_columns(cases: pd.DataFrame, source: Path) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in cases.columns]
    if missing:
        raise InputError(f"{source}: lacks the columns {', '.join(missing)}")
    if cases.columns.has_duplicates:
        raise InputError(
            f"{source}: has the column {cases.columns[cases.columns.duplicated()][0]} twice"
        )
    if cases.empty:
        raise InputError(f"{source}: holds no cases")
    cases["image_id"] = cases["image_id"].astype(str).str.strip()
    cases["stem"] = cases["image_id"].str.replace(r"\.jpe?g$", "", case=False, regex=True)
    repeated = cases["stem"].duplicated()
    if repeated.any():
        raise InputError(f"{source}: has {cases['image_id'][repeated].iloc[0]} more than once")
    for name in REQUIRED_COLUMNS[1:]:
        numbers = pd.to_numeric(cases[name], errors="coerce")
        allowed = numbers.isin((0, 1)) if name != "center" else numbers.ge(1) & (numbers % 1 == 0)
        if not allowed.all():
            row = cases[~allowed].iloc[0]
            right = "a whole number from 1" if name == "center" else "0 or 1"
            raise InputError(f"{source}: {row['image_id']} has {name}={row[name]}; must be {right}")
        cases[name] = numbers.astype(int)


def _labels(cases: pd.DataFrame, source: Path) -> pd.Series:
    """Malignant before benign before normal; `tumor` must agree."""
    label = pd.Series(np.where(cases["malignant"] == 1, 2, cases["benign"]), index=cases.index)
    wrong = (label > 0) != (cases["tumor"] == 1)
    if wrong.any():
        row = cases[wrong].iloc[0]
        flags = ", ".join(f"{name}={row[name]}" for name in REQUIRED_COLUMNS[2:])
        raise InputError(
            f"{source}: {row['image_id']} has {flags}; "
            "tumor must be 1 exactly for benign or malignant"
        )
    return label


def _image_paths(cases: pd.DataFrame, root: Path, source: Path) -> list[str]:
    folder = root / "images"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold the images of {source.name}")
    by_stem: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith((".", "~")):
            if path.stem in by_stem:
                raise InputError(
                    f"{path}: {by_stem[path.stem].name} is there too; keep one of them"
                )
            by_stem[path.stem] = path
    absent = [name for name in cases["stem"] if name not in by_stem]
    if absent:
        raise InputError(
            f"{folder}: no image for {len(absent)} of {len(cases)} cases, {absent[0]} the first; "
            f"looked for {' and '.join(absent[0] + suffix for suffix in IMAGE_SUFFIXES)}"
        )
    return [str(by_stem[name]) for name in cases["stem"]]
