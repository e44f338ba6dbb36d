"""Find and read the table of a data set, dataset.xlsx or dataset.csv, and check its columns."""

import difflib
import io
import re
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from btxrd.data.constants import COLUMNS, REQUIRED_COLUMNS, TABLES
from btxrd.errors import InputError, printable
from btxrd.runtime.reading import read_bytes, readable

SHOWN = 60  # characters of a value in a message
SIMILAR = 0.75  # similarity (difflib) from which a column name may be a misspelling of another
LOCK = "~$"  # prefix of the lock file that Excel writes while a workbook is open


@readable()
def find_table(root: Path) -> Path:
    """Return the path of the table of a data set.

    Raises:
        InputError: If `root` is not a folder, or does not contain exactly one table.
    """
    if not root.is_dir():
        raise InputError(
            f"data.root={root}: no such folder; set the one with images/ and dataset.xlsx"
        )
    found = [root / name for name in TABLES if (root / name).is_file()]
    if len(found) == 2:
        raise InputError(
            f"data.root={root}: contains both dataset.xlsx and dataset.csv; keep one of them"
        )
    if found:
        return found[0]
    hint, inside = "", root / "BTXRD"
    if (inside / "images").is_dir():
        hint = f"; did you mean data.root={inside}?"
    elif any(root.glob(f"{LOCK}*")):
        hint = f"; {LOCK}dataset.xlsx is only a lock file of Excel"
    raise InputError(f"data.root={root}: contains neither dataset.xlsx nor dataset.csv{hint}")


def read_table(source: Path) -> pd.DataFrame:
    """Read the table of a data set in the order of its rows, without empty rows.

    Returns:
        One row per case, with the columns of the table and `stem` (see `stems_of`).

    Raises:
        InputError: If the file cannot be read as a table, has no cases, lacks a required column, or
            has a column twice.
    """
    content = io.BytesIO(read_bytes(source))
    read = _read_excel if source.suffix == ".xlsx" else _read_csv
    try:
        table = read(content, source)
    except (InputError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: cannot be read as a table, it is not UTF-8; save it as CSV in UTF-8"
        ) from error
    except Exception as error:  # readers raise many types, depending on the damage
        reason = printable(str(error), 200)
        hint = "; save its sheet as dataset.csv" if source.suffix == ".xlsx" else ""
        raise InputError(f"{source}: cannot be read as a table ({reason}){hint}") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in table.columns]
    if missing:
        have = ", ".join(printable(name, SHOWN) for name in table.columns[:5])
        raise InputError(
            f"{source}: lacks the columns {', '.join(missing)}; its first columns are {have}"
        )
    for name in table.columns:
        base = re.sub(r"\.\d+$", "", name)  # pandas renames a second `center` to `center.1`
        if list(table.columns).count(name) > 1 or (base != name and base in COLUMNS):
            raise InputError(f"{source}: has the column {printable(base, SHOWN)} twice")
    table = table.dropna(how="all").reset_index(drop=True)
    if table.empty:
        raise InputError(f"{source}: contains no cases")
    ids = table["image_id"].where(table["image_id"].notna(), "").astype(str).str.strip()
    return table.infer_objects().assign(image_id=ids, stem=stems_of(ids))


def other_columns(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Find the columns of a table that are not columns of BTXRD.

    Returns:
        Columns whose name resembles that of a missing BTXRD column, each with a hint that names
        it; and the names of the other columns, without empty ones.
    """
    lacking = {name.casefold(): name for name in COLUMNS if name not in table.columns}
    near, further = [], []
    for name in (name for name in table.columns if name not in (*COLUMNS, "stem")):
        meant = difflib.get_close_matches(name.casefold(), lacking, n=1, cutoff=SIMILAR)
        meant += [word for word in re.split(r"[\W_]+", name.casefold()) if word in lacking]
        if meant:
            near.append(f"{printable(name, SHOWN)} (did you mean {lacking[meant[0]]}?)")
        elif table[name].notna().any():
            further.append(printable(name, SHOWN))
    return near, further


def stems_of(names: pd.Series) -> pd.Series:
    """Return names of images without the suffix of an image file, in normal form."""
    return names.str.replace(r"\.(jpe?g|png)$", "", case=False, regex=True).map(normal_form)


def normal_form(name: str) -> str:
    """Return a name in Unicode normal form C.

    Some file systems store a letter and its accent as two characters.
    """
    return unicodedata.normalize("NFC", name)


def _read_csv(content: io.BytesIO, source: Path) -> pd.DataFrame:
    header = pd.read_csv(content, nrows=0, index_col=False).columns
    if len(header) == 1 and ";" in header[0]:
        raise InputError(f"{source}: is separated by semicolons; save it with commas")
    content.seek(0)
    types: dict[Any, Any] = {name: str for name in header if name.strip() == "image_id"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        return _named(pd.read_csv(content, dtype=types, index_col=False))


def _read_excel(content: io.BytesIO, source: Path) -> pd.DataFrame:
    """Return the sheet that has the required columns, or the first sheet if none has them."""
    with pd.ExcelFile(content, engine="openpyxl") as book:
        names = [sheet.title for sheet in book.book.worksheets]  # without chart sheets
        tables = pd.read_excel(book, sheet_name=names, dtype=object)
    sheets = {name: _named(table) for name, table in tables.items()}
    fit = [name for name, sheet in sheets.items() if set(sheet.columns) >= set(REQUIRED_COLUMNS)]
    if len(fit) > 1:
        raise InputError(f"{source}: the sheets {' and '.join(fit)} all list cases; keep one")
    if not sheets:
        raise InputError(f"{source}: has no sheet with a table")
    return sheets[fit[0] if fit else names[0]]


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis([" ".join(str(name).split()) for name in table.columns], axis="columns")
