"""dataset.xlsx or dataset.csv, and images/: the table of cases, checked."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from btxrd.data.constants import (
    BENIGN_SUBTYPES,
    COLUMNS,
    MALIGNANT_SUBTYPES,
    REGIONS,
    REQUIRED_COLUMNS,
    SITES,
    SUFFIXES,
    TABLES,
    VIEWS,
)
from btxrd.errors import InputError

SUBTYPES = (*BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES)
FLAGS = (*SITES, *SUBTYPES, *REGIONS, *VIEWS)  # 0, 1 or empty
OLDEST = 120  # years
MOST_CENTERS = 1_000_000
HUGE = 2**63
LOCK = "~$"  # how the file begins that Excel leaves beside a workbook it has open


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
    source = find_table(root)
    table = read_table(source)
    for line in row_errors(table).values():
        raise InputError(f"{source}: {line}")
    cases = typed(table)
    images, doubles = find_images(root)
    for stem in cases["stem"]:
        if stem in doubles:
            raise InputError(doubles[stem])
        if stem not in images:
            raise InputError(missing_image(root, stem))
    return cases.assign(path=[str(images[stem]) for stem in cases["stem"]])


def missing_image(root: Path, stem: str) -> str:
    """Say that a case has no image, and what was looked for."""
    looked = ", ".join(stem + suffix for suffix in SUFFIXES)
    return f"{root / 'images'}: no image of {stem}; looked for {looked}"


def find_table(root: Path) -> Path:
    """Find the one table of a data set. Raises InputError where there is none, or more than one."""
    if not root.is_dir():
        raise InputError(
            f"data.root={root}: no such folder; give the one that holds images/ and dataset.xlsx"
        )
    found = [root / name for name in TABLES if (root / name).is_file()]
    if len(found) == 2:
        raise InputError(f"data.root={root}: holds dataset.xlsx and dataset.csv; keep one of them")
    if found:
        return found[0]
    hint, inside = "", root / "BTXRD"
    if (inside / "images").is_dir():
        hint = f"; is it data.root={inside}?"
    elif any(root.glob(f"{LOCK}*")):
        hint = f"; {LOCK}dataset.xlsx is only Excel's lock"
    raise InputError(f"data.root={root}: holds neither dataset.xlsx nor dataset.csv{hint}")


def read_table(source: Path) -> pd.DataFrame:
    """Read the table of a data set, rows as they stand there; `stem` is added.

    Raises:
        InputError: for a file that is no table, or lacks a column, or has one twice.
    """
    try:
        if source.suffix == ".xlsx":
            table = _one_sheet(pd.read_excel(source, engine="openpyxl", sheet_name=None), source)
        else:
            table = _named(pd.read_csv(source, dtype={"image_id": str}))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # each reader and each kind of damage raises a type of its own
        raise InputError(f"{source}: cannot be read as a table ({error})") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in table.columns]
    if missing:
        have = ", ".join(table.columns[:5])
        raise InputError(f"{source}: lacks the columns {', '.join(missing)}; it begins with {have}")
    for name in table.columns:
        base = re.sub(r"\.\d+$", "", name)  # pandas calls a second `center` `center.1`
        if list(table.columns).count(name) > 1 or (base != name and base in COLUMNS):
            raise InputError(f"{source}: has the column {base} twice")
    table = table.dropna(how="all").reset_index(drop=True)
    if table.empty:
        raise InputError(f"{source}: holds no cases")
    ids = table["image_id"].where(table["image_id"].notna(), "").astype(str).str.strip()
    return table.assign(image_id=ids, stem=stems_of(ids))


def stems_of(names: pd.Series) -> pd.Series:
    """Names of images without their suffix, where it is one of an image."""
    return names.str.replace(r"\.(jpe?g|png)$", "", case=False, regex=True)


def _one_sheet(sheets: dict[str, pd.DataFrame], source: Path) -> pd.DataFrame:
    """The sheet of the cases, whatever it is called; the first where none is."""
    named = {name: _named(sheet) for name, sheet in sheets.items()}
    fit = [name for name, sheet in named.items() if set(sheet.columns) >= set(REQUIRED_COLUMNS)]
    if len(fit) > 1:
        raise InputError(f"{source}: the sheets {' and '.join(fit)} both list cases; keep one")
    return named[fit[0] if fit else next(iter(named))]


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis([str(name).strip() for name in table.columns], axis="columns")


def row_errors(table: pd.DataFrame) -> dict[int, str]:
    """Find the rows that cannot be used.

    Args:
        table: as `read_table` gives it.

    Returns:
        What is wrong first with each such row, naming its case, by the row's position; in order.
    """
    errors: dict[int, str] = {}

    def note(wrong: pd.Series, describe: str, right: str) -> None:
        for row, values in table[wrong.to_numpy(bool)].iterrows():
            case = values["image_id"] or f"row {int(str(row)) + 2}"
            errors.setdefault(int(str(row)), f"{case} {describe.format(**values)}; {right}")

    ids = table["image_id"]
    note(ids == "", "has no image_id", "each case needs one")
    note(ids.str.contains(r"[/\\]|^\.", regex=True), "is no name of a file", "must have no folder")
    note((ids != "") & table["stem"].duplicated(), "is there more than once", "must be there once")
    numbers = {name: _numbers(table[name]) for name in REQUIRED_COLUMNS[1:]}
    center = numbers["center"]
    right = "must be a whole number from 1"
    note(~(center.between(1, MOST_CENTERS) & (center % 1 == 0)), "has center={center}", right)
    for name in REQUIRED_COLUMNS[2:]:
        note(~numbers[name].isin((0, 1)), f"has {name}={{{name}}}", "must be 0 or 1")
    tumor, benign, malignant = (numbers[name] == 1 for name in REQUIRED_COLUMNS[2:])
    shown = "has tumor={tumor}, benign={benign}, malignant={malignant}"
    note(tumor != (benign | malignant), shown, "tumor must be 1 exactly for benign or malignant")
    for name in [name for name in FLAGS if name in table.columns]:
        filled = table[name].notna()
        flag = _numbers(table[name])
        note(filled & ~flag.isin((0, 1)), f"has {name}={{{name}}}", "must be 0 or 1")
        if name in SUBTYPES:
            kind = "benign" if name in BENIGN_SUBTYPES else "malignant"
            agrees = numbers[kind] == 1
            note((flag == 1) & ~agrees, f"has {name}=1, {kind}={{{kind}}}", f"{name} is {kind}")
    if "age" in table.columns:
        age = _numbers(table["age"])
        wrong = table["age"].notna() & ~age.between(0, OLDEST)
        note(wrong, "has age={age}", f"must be a number of years up to {OLDEST}, or empty")
    return dict(sorted(errors.items()))


def _numbers(values: pd.Series) -> pd.Series:
    """Numbers of a column; NaN for what is none, and for integers that no float can hold."""
    huge = values.map(lambda value: isinstance(value, int) and abs(value) > HUGE)
    return pd.to_numeric(values.mask(huge.astype(bool)), errors="coerce")


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Type the rows of a table that has no errors, add `label`, and bring them in order."""
    whole = {name: pd.to_numeric(table[name]).astype(int) for name in REQUIRED_COLUMNS[1:]}
    cases = table.assign(**whole)
    cases["label"] = np.where(cases["malignant"] == 1, 2, cases["benign"])
    order = sorted(range(len(cases)), key=lambda row: _natural(cases["stem"].iloc[row]))
    return cases.iloc[order].reset_index(drop=True)


def _natural(stem: str) -> list[Any]:
    """Sort key by which a2 comes before a10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", stem)]


def find_images(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the images of a data set, by stem.

    Returns:
        The images, and a line for each stem that has a second one.

    Raises:
        InputError: where there is no folder of images.
    """
    folder = root / "images"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold the images of the table")
    by_stem: dict[str, Path] = {}
    doubles: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith((".", "~")):
            known = by_stem.setdefault(path.stem, path)
            if known is not path:
                doubles[path.stem] = f"{path}: {known.name} is there too; keep one of them"
    return by_stem, doubles
