"""Check the cases of a table, and find their images."""

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
from btxrd.data.table import SHOWN, find_table, normal_form, read_table
from btxrd.errors import InputError, printable
from btxrd.runtime.reading import readable

SUBTYPES = (*BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES)
FLAGS = (*SITES, *SUBTYPES, *REGIONS, *VIEWS)  # 0, 1 or empty
OLDEST = 120  # years
MOST_CENTERS = 1_000_000
HUGE = 2**63
LONGEST = 200  # bytes of an id; file names that contain the id may have at most 255
FORMULA = ("=", "+", "-", "@")  # first characters of a cell that a spreadsheet computes


def load_cases(root: Path) -> pd.DataFrame:
    """Read the cases of a data set in BTXRD's layout.

    Args:
        root: Folder that contains `dataset.xlsx` or `dataset.csv`, and `images/`.

    Returns:
        One row per case, in the natural order of the ids, with the columns of the table and three
        more: `stem` (the id without its suffix, see `normal_form`), `label` (0, 1 or 2, an index of
        CLASSES) and `path` (of the image).

    Raises:
        InputError: If a folder, a file or a column is missing, or if a row has an error (see
            `row_errors`) or no image. The first error is reported.
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
    """Return the message for a case without an image; it lists the expected file names."""
    looked = ", ".join(stem + suffix for suffix in SUFFIXES)
    return f"{root / 'images'}: no image of {stem}; looked for {looked}"


def row_errors(table: pd.DataFrame) -> dict[int, str]:
    """Find the rows that cannot be used.

    Args:
        table: Table as returned by `read_table`.

    Returns:
        The first error of each such row as a message that names the case. The keys are the
        positions of the rows, in ascending order.
    """
    errors: dict[int, str] = {}

    def note(wrong: pd.Series, describe: str, right: str) -> None:
        for row, cells in table[wrong.to_numpy(bool)].iterrows():
            values = {str(name): printable(str(cell), SHOWN) for name, cell in cells.items()}
            case = values["image_id"] or f"row {int(str(row)) + 2}"
            errors.setdefault(int(str(row)), f"{case} {describe.format(**values)}; {right}")

    ids = table["image_id"]
    note(ids == "", "has no image_id", "each case needs one")
    has_folder = ids.str.contains(r"[/\\]|^\.", regex=True)
    note(has_folder, "is not a plain file name", "remove folders and a leading dot")
    unprintable = ~ids.map(str.isprintable).astype(bool)
    note(unprintable, "contains unprintable characters", "remove them")
    too_long = ids.map(lambda name: len(name.encode(errors="replace"))) > LONGEST
    note(too_long, "is too long", f"an image_id may have at most {LONGEST} bytes")
    is_formula = ids.str.startswith(FORMULA)
    note(is_formula, "would be a formula in a spreadsheet", "begin it with a letter or a digit")
    note((ids != "") & table["stem"].duplicated(), "occurs more than once", "must occur once")
    numbers = {name: _numbers(table[name]) for name in REQUIRED_COLUMNS[1:]}
    center = numbers["center"]
    right = "must be a whole number from 1"
    note(~(center.between(1, MOST_CENTERS) & (center % 1 == 0)), "has center={center}", right)
    for name in REQUIRED_COLUMNS[2:]:
        note(~numbers[name].isin((0, 1)), f"has {name}={{{name}}}", "must be 0 or 1")
    tumor, benign, malignant = (numbers[name] == 1 for name in REQUIRED_COLUMNS[2:])
    shown = "has tumor={tumor}, benign={benign}, malignant={malignant}"
    rule = "tumor must be 1 if and only if benign or malignant is 1"
    note(tumor != (benign | malignant), shown, rule)
    note(benign & malignant, shown, "a case is either benign or malignant")
    for name in [name for name in FLAGS if name in table.columns]:
        filled = table[name].notna()
        flag = _numbers(table[name])
        note(filled & ~flag.isin((0, 1)), f"has {name}={{{name}}}", "must be 0 or 1")
        if name in SUBTYPES:
            kind = "benign" if name in BENIGN_SUBTYPES else "malignant"
            agrees = numbers[kind] == 1
            rule = f"{name} is a {kind} subtype"
            note((flag == 1) & ~agrees, f"has {name}=1, {kind}={{{kind}}}", rule)
    if "age" in table.columns:
        age = _numbers(table["age"])
        wrong = table["age"].notna() & ~age.between(0, OLDEST)
        note(wrong, "has age={age}", f"must be a number of years up to {OLDEST}, or empty")
    return dict(sorted(errors.items()))


def _numbers(values: pd.Series) -> pd.Series:
    """Return a column as numbers; NaN for other cells and for integers beyond 64 bits."""
    huge = values.map(lambda value: isinstance(value, int) and abs(value) > HUGE)
    return pd.to_numeric(values.mask(huge.astype(bool)), errors="coerce")


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Convert the types of a table without errors, add `label`, and sort the rows by id."""
    integers = {name: pd.to_numeric(table[name]).astype(int) for name in REQUIRED_COLUMNS[1:]}
    cases = table.assign(**integers)
    cases["label"] = np.where(cases["malignant"] == 1, 2, cases["benign"])
    order = sorted(range(len(cases)), key=lambda row: _natural(cases["stem"].iloc[row]))
    return cases.iloc[order].reset_index(drop=True)


def _natural(stem: str) -> list[Any]:
    """Return a sort key for the natural order, in which a2 comes before a10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", stem)]


@readable()
def find_images(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the images of a data set.

    Returns:
        The path of each image, and a message for each stem that has more than one image, both by
        stem.

    Raises:
        InputError: If the folder of images is missing or cannot be read.
    """
    folder = root / "images"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it must contain the images of the table")
    by_stem: dict[str, Path] = {}
    doubles: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith((".", "~")):
            stem = normal_form(path.stem)
            known = by_stem.setdefault(stem, path)
            if known is not path:
                doubles[stem] = f"{path}: {known.name} has the same id; keep one of them"
    return by_stem, doubles
