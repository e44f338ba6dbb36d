"""The cases of a table, checked, and the images that belong to them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from btxrd.data.constants import (
    BENIGN_SUBTYPES,
    MALIGNANT_SUBTYPES,
    REGIONS,
    REQUIRED_COLUMNS,
    SITES,
    SUFFIXES,
    VIEWS,
)
from btxrd.data.table import SHOWN, composed, find_table, read_table
from btxrd.errors import InputError, printable
from btxrd.runtime.reading import readable

SUBTYPES = (*BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES)
FLAGS = (*SITES, *SUBTYPES, *REGIONS, *VIEWS)  # 0, 1 or empty
OLDEST = 120  # years
MOST_CENTERS = 1_000_000
HUGE = 2**63
LONGEST = 200  # bytes of an id; what is written about a case has names of at most 255
FORMULA = ("=", "+", "-", "@")  # how a cell begins that a spreadsheet computes


def load_cases(root: Path) -> pd.DataFrame:
    """Read the cases of a data set in BTXRD's layout, in the order of their ids.

    Args:
        root: folder that holds `dataset.xlsx` or `dataset.csv`, and `images/`.

    Returns:
        A row a case: the table's own columns, with `image_id` as in the table, `stem` (the id
        without its suffix, as `composed` gives it), `label` (0, 1, 2: an index of CLASSES) and
        `path` (of the image).

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


def row_errors(table: pd.DataFrame) -> dict[int, str]:
    """Find the rows that cannot be used.

    Args:
        table: as `read_table` gives it.

    Returns:
        What is wrong first with each such row, naming its case, by the row's position; in order.
    """
    errors: dict[int, str] = {}

    def note(wrong: pd.Series, describe: str, right: str) -> None:
        for row, cells in table[wrong.to_numpy(bool)].iterrows():
            values = {str(name): printable(str(cell), SHOWN) for name, cell in cells.items()}
            case = values["image_id"] or f"row {int(str(row)) + 2}"
            errors.setdefault(int(str(row)), f"{case} {describe.format(**values)}; {right}")

    ids = table["image_id"]
    note(ids == "", "has no image_id", "each case needs one")
    note(ids.str.contains(r"[/\\]|^\.", regex=True), "is no name of a file", "must have no folder")
    unprintable = ~ids.map(str.isprintable).astype(bool)
    note(unprintable, "holds characters that cannot be printed", "must be the name of a file")
    too_long = ids.map(lambda name: len(name.encode(errors="replace"))) > LONGEST
    note(too_long, "is too long", f"an image_id has at most {LONGEST} bytes")
    note(ids.str.startswith(FORMULA), "is a formula for a spreadsheet", "begin it with a letter")
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
    note(benign & malignant, shown, "a case is benign or malignant, not both")
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


@readable()
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
            stem = composed(path.stem)
            known = by_stem.setdefault(stem, path)
            if known is not path:
                doubles[stem] = f"{path}: {known.name} is there too; keep one of them"
    return by_stem, doubles
