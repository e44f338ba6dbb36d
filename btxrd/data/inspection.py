"""Inspect a data set before training.

A run stops at the first error. An audit lists the first error of each row, image and outline.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from btxrd.data.annotations import Outline, find_outlines, outline_error, read_outline
from btxrd.data.cases import find_images, missing_image, row_errors, typed
from btxrd.data.constants import LESIONS
from btxrd.data.groups import (
    join_groups,
    likely_patients,
    near_duplicates,
    odd_genders,
    respelt,
)
from btxrd.data.survey import NO_IMAGES, Survey, survey_images
from btxrd.data.table import SHOWN, find_table, other_columns, read_table
from btxrd.errors import InputError, printable

PLAIN = ("L", "RGB")  # modes of the files of BTXRD
OWN_FORMATS = {".jpeg": ("JPEG", "MPO"), ".jpg": ("JPEG", "MPO"), ".png": ("PNG",)}
FEW = 3  # names in a message
TINY = 1e-4  # share of the image; 5 of the 50,176 pixels of an image at 224 x 224


@dataclass
class Inspection:
    """Content of a data set.

    Attributes:
        source: Path to the table.
        cases: One row per usable case, in the order of ids: `load_cases` with `patient` and
            `group`.
        survey: Survey of their images, in the same order.
        outlines: Outlines of the tumours, by stem.
        pairs: Near-duplicates, as returned by `near_duplicates`.
        errors: Messages on what cannot be used, by kind and by the name of the row or case.
        warnings: Names of what is corrected or left out, by kind.
        strict: Whether the first error is raised instead of stored.
    """

    source: Path
    strict: bool
    cases: pd.DataFrame = field(default_factory=pd.DataFrame)
    survey: Survey = NO_IMAGES
    outlines: dict[str, Outline] = field(default_factory=dict)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add_errors(self, kind: str, lines: dict[str, str]) -> None:
        """Store errors; if `strict`, raise the first as InputError, with the number of others."""
        if lines and self.strict:
            more = f"; and {len(lines) - 1} more {kind}" if len(lines) > 1 else ""
            raise InputError(next(iter(lines.values())) + more)
        self.errors[kind] = lines

    def add_warning(self, kind: str, names: Iterable[str]) -> None:
        """Store the names that a warning applies to, if there are any."""
        self.warnings[kind] += (printable(name, SHOWN) for name in names)
        if not self.warnings[kind]:
            del self.warnings[kind]

    @property
    def first_error(self) -> str:
        """Message of the first stored error, or an empty string."""
        return next((line for lines in self.errors.values() for line in lines.values()), "")

    @property
    def warning_lines(self) -> list[str]:
        """One line for each kind of warning, with the number of names and the first of them."""
        return [
            f"{kind[0].upper()}{kind[1:]}: {len(names)} (first: {names[0]})"
            for kind, names in self.warnings.items()
        ]


def inspect(root: Path, cache: Path, *, strict: bool) -> Inspection:
    """Inspect the table, then the images, then the outlines of a data set.

    Args:
        root: Folder of the data set.
        cache: Folder of the survey files.
        strict: Raise the first error. Otherwise, leave out rows, images and outlines with errors.

    Raises:
        InputError: If the table or a folder is missing or cannot be read, if no case can be used,
            or, if `strict`, for the first error.
    """
    source = find_table(root)
    found = Inspection(source, strict)
    table = read_table(source)
    wrong = row_errors(table)
    stems = table["stem"].tolist()
    found.add_errors(
        "rows",
        {
            f"{printable(stems[row], SHOWN)} in row {row + 2}": f"{source}: {line}"
            for row, line in wrong.items()
        },
    )
    cases = typed(table.drop(index=list(wrong)))
    listed = set(table["stem"])
    _add_table_warnings(found, table, cases)
    cases = _with_images(found, cases, listed, root, cache)
    if cases.empty:
        raise InputError(f"{source}: contains no usable case; first error: {found.first_error}")
    _read_outlines(found, cases, listed, root)
    found.pairs = near_duplicates(cases, found.survey)
    cases["patient"] = likely_patients(cases)
    cases["group"] = join_groups(cases, found.pairs)
    found.cases = cases
    return found


def _add_table_warnings(found: Inspection, table: pd.DataFrame, cases: pd.DataFrame) -> None:
    near, further = other_columns(table)
    found.add_warning("columns with names similar to a column of BTXRD, not used", near)
    found.add_warning("other additional columns, not used", further)
    columns, stems = respelt(cases)
    kind = f"cases with a different spelling in {_few(columns)}, treated as the usual one"
    found.add_warning(kind, stems)
    kind = "cases whose gender is neither F nor M, used as it is"
    found.add_warning(kind, [f"{stem} ({cell})" for stem, cell in odd_genders(cases).items()])


def _few(names: Sequence[str]) -> str:
    """Return the first FEW names, joined by commas, and the number of the others."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def _with_images(
    found: Inspection, cases: pd.DataFrame, listed: set[str], root: Path, cache: Path
) -> pd.DataFrame:
    """Return the cases whose images can be used, with their `path`."""
    images, doubles = find_images(root)
    doubles = {stem: line for stem, line in doubles.items() if stem in listed}
    found.add_errors("cases with two images", doubles)
    absent = [stem for stem in cases["stem"] if stem not in images]
    found.add_errors("cases without an image", {stem: missing_image(root, stem) for stem in absent})
    unlisted = sorted(set(images) - listed)
    found.add_warning("images without a case, not used", unlisted)
    cases = cases[~cases["stem"].isin([*absent, *doubles])]
    cases = cases.assign(path=[str(images[stem]) for stem in cases["stem"]])
    survey = survey_images(cases["path"].tolist(), cache)
    lines = {}
    usable = []
    for row, (stem, path, info) in enumerate(
        zip(cases["stem"], survey.paths, survey.infos, strict=True)
    ):
        if info.error is not None:
            lines[stem] = f"{path}: {info.error}"
            continue
        usable.append(row)
        suffix = Path(path).suffix.lower()
        if info.mode not in PLAIN:
            found.add_warning(f"{info.mode} images, converted to grey", [stem])
        if info.turned:
            found.add_warning("images turned upright by EXIF", [stem])
        if info.format not in OWN_FORMATS[suffix]:
            found.add_warning(f"{info.format} images named {suffix}", [stem])
    found.add_errors("images", lines)
    found.survey = survey.select(usable)
    return cases.iloc[usable].reset_index(drop=True)


def _read_outlines(found: Inspection, cases: pd.DataFrame, listed: set[str], root: Path) -> None:
    files, doubles = find_outlines(root)
    doubles = {stem: line for stem, line in doubles.items() if stem in listed}
    found.add_errors("cases with two outlines", doubles)
    lines, with_outline = {}, set(doubles)
    labels: dict[str, str] = {}  # first case by label, for labels that BTXRD does not have
    for stem, label, info in zip(cases["stem"], cases["label"], found.survey.infos, strict=True):
        if stem not in files or stem in doubles:
            continue
        with_outline.add(stem)
        try:
            outline = read_outline(files[stem])
            error_text = outline_error(outline, stem, info.width, info.height)
            if error_text is not None:
                raise InputError(f"{files[stem]}: {error_text}")
        except InputError as error:
            lines[stem] = str(error)
            continue
        if label == 0:
            found.add_warning("normal cases with an outline, not used", [stem])
            continue
        found.outlines[stem] = outline
        for name in sorted(outline.labels - LESIONS):
            labels.setdefault(printable(name, SHOWN), stem)
        if outline.share < TINY:
            found.add_warning(f"outlines smaller than {TINY:.2%} of the image", [stem])
        if outline.crosses_frame:
            found.add_warning("outlines that extend beyond the image, cut at its border", [stem])
    found.add_errors("outlines", lines)
    kind = f"outline labels that BTXRD does not have ({_few(list(labels))}), used as lesions"
    found.add_warning(kind, labels.values())
    tumours = cases.loc[cases["label"] > 0, "stem"]
    found.add_warning("tumours without an outline", [s for s in tumours if s not in with_outline])
    found.add_warning("outlines without a case, not used", sorted(set(files) - listed))
