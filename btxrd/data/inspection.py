"""All that can be found in a data set before anything is trained on it.

A run stops at the first fault; an audit lists them all.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from btxrd.data.annotations import Outline, find_outlines, outline_fault, read_outline
from btxrd.data.cases import (
    find_images,
    find_table,
    missing_image,
    read_table,
    row_faults,
    typed,
)
from btxrd.data.duplicates import near_duplicates
from btxrd.data.groups import join_groups, likely_patients
from btxrd.data.survey import NO_FILMS, Survey, survey_films
from btxrd.errors import InputError

PLAIN = ("L", "RGB")  # the modes of BTXRD's own files
OWN_FORMATS = {".jpeg": ("JPEG", "MPO"), ".jpg": ("JPEG", "MPO"), ".png": ("PNG",)}
TINY = 1e-4  # of the frame; 5 of the 50,176 pixels of a film at 224 x 224


@dataclass
class Inspection:
    """What is in a data set.

    Attributes:
        source: the table.
        cases: a row a usable case, in the order of ids: `load_cases` with `patient` and `group`.
        survey: of their films, in the same order.
        outlines: of the tumours, by stem.
        pairs: near-duplicates, as `near_duplicates` gives them.
        faults: what cannot be used: a line by the name of the row, film or outline, by kind.
        remarks: what is put right, or must be known: names by kind.
        strict: whether a fault is raised, and not kept.
    """

    source: Path
    strict: bool
    cases: pd.DataFrame = field(default_factory=pd.DataFrame)
    survey: Survey = NO_FILMS
    outlines: dict[str, Outline] = field(default_factory=dict)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    faults: dict[str, dict[str, str]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def fault(self, kind: str, lines: dict[str, str]) -> None:
        """Keep faults, or raise the first as InputError and count the others."""
        if lines and self.strict:
            more = f"; and {len(lines) - 1} more {kind}" if len(lines) > 1 else ""
            raise InputError(next(iter(lines.values())) + more)
        self.faults[kind] = lines

    def remark(self, kind: str, names: Iterable[str]) -> None:
        """Keep names, if there are any."""
        self.remarks[kind] += names
        if not self.remarks[kind]:
            del self.remarks[kind]

    @property
    def first_fault(self) -> str:
        """The line of the first fault that was kept."""
        return next((line for lines in self.faults.values() for line in lines.values()), "")

    @property
    def warnings(self) -> list[str]:
        """A line for each kind of remark."""
        return [f"{len(names)} {kind}, {names[0]} first" for kind, names in self.remarks.items()]


def inspect(root: Path, cache: Path, *, strict: bool) -> Inspection:
    """Look at the table, the films and the outlines of a data set, the quickest first.

    Args:
        root: of the data set.
        cache: folder of what was found in films.
        strict: raise the first fault; else leave out what has one.

    Raises:
        InputError: where `strict`, for the first fault; always for a table or folder that is not
            there or cannot be read at all.
    """
    source = find_table(root)
    found = Inspection(source, strict)
    table = read_table(source)
    faulty = row_faults(table)
    stems = table["stem"].tolist()
    found.fault(
        "rows",
        {f"{stems[row]} in row {row + 2}": f"{source}: {line}" for row, line in faulty.items()},
    )
    cases = typed(table.drop(index=list(faulty)))
    listed = set(table["stem"])
    cases = _with_films(found, cases, listed, root, cache)
    if cases.empty:
        raise InputError(f"{source}: has no case that can be used; {found.first_fault}")
    _read_outlines(found, cases, listed, root)
    found.pairs = near_duplicates(cases, found.survey)
    cases["patient"] = likely_patients(cases)
    cases["group"] = join_groups(cases, found.pairs)
    found.cases = cases
    return found


def _with_films(
    found: Inspection, cases: pd.DataFrame, listed: set[str], root: Path, cache: Path
) -> pd.DataFrame:
    """Cases whose films can be used, with their `path`."""
    images, doubles = find_images(root)
    doubles = {stem: line for stem, line in doubles.items() if stem in listed}
    found.fault("cases with two films", doubles)
    absent = [stem for stem in cases["stem"] if stem not in images]
    found.fault("cases without a film", {stem: missing_image(root, stem) for stem in absent})
    strangers = sorted(set(images) - listed)
    found.remark("films without a case, not used", strangers)
    cases = cases[~cases["stem"].isin([*absent, *doubles])]
    cases = cases.assign(path=[str(images[stem]) for stem in cases["stem"]])
    survey = survey_films(cases["path"].tolist(), cache)
    lines = {}
    usable = []
    for row, (stem, path, look) in enumerate(
        zip(cases["stem"], survey.paths, survey.looks, strict=True)
    ):
        if look.fault is not None:
            lines[stem] = f"{path}: {look.fault}"
            continue
        usable.append(row)
        suffix = Path(path).suffix.lower()
        if look.mode not in PLAIN:
            found.remark(f"{look.mode} films, turned to grey", [stem])
        if look.turned:
            found.remark("films turned upright by EXIF", [stem])
        if look.format not in OWN_FORMATS[suffix]:
            found.remark(f"{look.format} films named {suffix}", [stem])
    found.fault("films", lines)
    found.survey = survey.select(usable)
    return cases.iloc[usable].reset_index(drop=True)


def _read_outlines(found: Inspection, cases: pd.DataFrame, listed: set[str], root: Path) -> None:
    files, doubles = find_outlines(root)
    doubles = {stem: line for stem, line in doubles.items() if stem in listed}
    found.fault("cases with two outlines", doubles)
    lines, with_outline = {}, set(doubles)
    for stem, label, look in zip(cases["stem"], cases["label"], found.survey.looks, strict=True):
        if stem not in files or stem in doubles:
            continue
        with_outline.add(stem)
        try:
            outline = read_outline(files[stem])
            fault = outline_fault(outline, stem, look.width, look.height)
            if fault is not None:
                raise InputError(f"{files[stem]}: {fault}")
        except InputError as error:
            lines[stem] = str(error)
            continue
        if label == 0:
            found.remark("normal cases with an outline, not used", [stem])
            continue
        found.outlines[stem] = outline
        if outline.share < TINY:
            found.remark(f"outlines of less than {TINY:.2%} of the frame", [stem])
        if outline.crosses_frame:
            found.remark("outlines that cross the frame, cut off there", [stem])
    found.fault("outlines", lines)
    tumours = cases.loc[cases["label"] > 0, "stem"]
    found.remark("tumours without an outline", [s for s in tumours if s not in with_outline])
    found.remark("outlines without a case, not used", sorted(set(files) - listed))
