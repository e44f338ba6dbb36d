"""Cases that must not be parted: likely the same patient, or near-duplicates."""

import functools
import unicodedata
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from btxrd.data.constants import COLUMNS, VIEWS
from btxrd.data.survey import Survey

NEEDED = {"age", "gender"}  # without them no patient can be told from another
QUOTES = " \t\n'\"\u2018\u2019\u201c\u201d"
SAME = {"true": "1", "false": "0", "female": "f", "male": "m"}  # words of a cell
GENDERS = ("f", "m", "")
COUNTED = ("age", "gender")  # the matching columns in which an empty cell is not 0
MATCHING_COLUMNS = tuple(name for name in COLUMNS if name not in ("image_id", *VIEWS))
NEAR = 14  # bits of 64 in which the perceptual hashes of candidates may differ
WHOLE = 0.98  # correlation of thumbnails from which two images may be one
ALIKE = 0.9  # and that of their detail
BLUR = 2.0  # pixels of a thumbnail; detail is what is finer


def likely_patients(cases: pd.DataFrame) -> pd.Series:
    """Name the likely patient of each case.

    BTXRD has no patient ids, but neighbouring ids that agree in center, age, gender, sites, region
    and diagnosis are most likely views of one patient.

    Args:
        cases: as `load_cases` gives them, in the order of their ids; columns that are not BTXRD's
            are not looked at.

    Returns:
        The stem of the patient's first case, a value a case. Cells are compared as `comparable`
        gives them, and an empty cell agrees with an empty one. Where
        `can_tell_patients` is false each case is a patient of its own.
    """
    if not can_tell_patients(cases):
        return cases["stem"].rename("patient")
    shared = [name for name in MATCHING_COLUMNS if name in cases.columns]
    matching = pd.DataFrame({name: comparable(cases[name]) for name in shared})
    differs = (matching != matching.shift()).any(axis=1).to_numpy()
    first = np.maximum.accumulate(np.where(differs, np.arange(len(cases)), 0))
    return cases["stem"].iloc[first].reset_index(drop=True).rename("patient")


def can_tell_patients(cases: pd.DataFrame) -> bool:
    """Whether the NEEDED columns are there, and not empty."""
    return set(cases.columns) >= NEEDED and all((comparable(cases[n]) != "").any() for n in NEEDED)


def comparable(cells: pd.Series) -> pd.Series:
    """Cells of a column in one spelling: without capitals and outer spaces, numbers as numbers.

    In a column of flags an empty cell is 0.
    """
    spelt = cells.astype(object).map(_one_spelling)
    return spelt if cells.name in COUNTED else spelt.replace("", _one_spelling(0))


@functools.cache
def _one_spelling(cell: Any) -> str:
    text = "" if pd.isna(cell) else unicodedata.normalize("NFKC", str(cell)).casefold()
    shown = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = " ".join(shown.strip(QUOTES).split())
    try:
        return str(float(SAME.get(text, text)))
    except ValueError:
        return SAME.get(text, text)


def odd_genders(cases: pd.DataFrame) -> dict[str, str]:
    """Find cells of the column `gender` that are none of F and M; return them by stem."""
    if "gender" not in cases.columns:
        return {}
    odd = ~comparable(cases["gender"]).isin(GENDERS)
    return dict(zip(cases["stem"][odd], cases["gender"][odd].map(str), strict=True))


def respelt(cases: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Find cells that mean what others of their column mean, but are spelt in another way.

    Returns:
        The columns, and the stems of the cases that have the rarer spelling in one of them.
    """
    columns, rarer = [], np.zeros(len(cases), bool)
    for name in (name for name in MATCHING_COLUMNS if name in cases.columns):
        cells = cases[name]
        if pd.api.types.is_numeric_dtype(cells) and not cells.isna().any():
            continue
        spelt = cells.map(lambda cell: "" if pd.isna(cell) else str(cell).removesuffix(".0"))
        pairs = pd.DataFrame({"meant": comparable(cells), "spelt": spelt})
        counts = pairs.groupby(["meant", "spelt"])["spelt"].transform("size")
        common = pairs.assign(counts=counts).sort_values("counts", kind="stable")
        usual = common.drop_duplicates("meant", keep="last").set_index("meant")["spelt"]
        other = (pairs["spelt"] != pairs["meant"].map(usual)).to_numpy()
        if other.any():
            columns.append(name)
            rarer |= other
    return columns, cases["stem"][rarer].tolist()


def join_groups(cases: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Name the group of each case: the connected components of patients and duplicates.

    Args:
        cases: with `stem` and `patient`.
        pairs: with `one` and `other`, the stems of two cases that belong together.

    Returns:
        The stem of the group's first case, a value a case.
    """
    rows = pd.Series(range(len(cases)), index=cases["stem"])
    one = rows.loc[[*cases["stem"], *pairs["one"]]].to_numpy()
    other = rows.loc[[*cases["patient"], *pairs["other"]]].to_numpy()
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(cases), len(cases)))
    component = pd.Series(connected_components(links, directed=False)[1])
    return cases["stem"].groupby(component.to_numpy()).transform("first").rename("group")


def near_duplicates(cases: pd.DataFrame, survey: Survey) -> pd.DataFrame:
    """Find the pairs of images that are one: copied, encoded again, resized or brightened.

    Candidates are near in perceptual hash. They are confirmed by the correlation of their
    thumbnails, and of the detail in them, the thumbnails less their blurred selves: the hash alone
    pairs unrelated hands. In detail two pairs of copies among 1,200 images of BTXRD correlate at
    1.00, and the next pair, of one patient, at 0.88. Of copies made of all of them at JPEG quality
    25, at half the size, 20 % brighter or 20 % darker, one in 2,400 is missed.
    Images that are mirrored, turned or cropped are not found.

    Args:
        cases: with `stem` and `label`.
        survey: of their images, in the same order; all without an error.

    Returns:
        One row per pair: `one` and `other` (stems), `bits` (in which the hashes differ),
        `detail_correlation` (-1 to 1), `identical` (byte by byte), `contradict` (in label).
    """
    one, other, bits = _candidates(survey.hashes)
    seen = {row: _seen(survey.thumbnails[row]) for row in {*one.tolist(), *other.tolist()}}
    alike = [(seen[i] * seen[j]).sum(axis=1) for i, j in zip(one, other, strict=True)]
    whole, detail = np.array(alike).reshape(-1, 2).T
    digests = np.array(survey.digests)
    stems, labels = cases["stem"].to_numpy(str), cases["label"].to_numpy()
    pairs = pd.DataFrame(
        {
            "one": stems[one],
            "other": stems[other],
            "bits": bits,
            "detail_correlation": detail.round(4),
            "identical": digests[one] == digests[other],
            "contradict": labels[one] != labels[other],
        }
    )
    is_copy = pairs["identical"] | ((whole >= WHOLE) & (detail >= ALIKE))
    return pairs[is_copy].reset_index(drop=True)


def _candidates(
    hashes: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows of each pair, the first before the second, and the bits in which they differ."""
    signs = np.where(hashes, 1, -1).astype(np.float32)
    found = []
    for start in range(0, len(signs), 1024):  # a block of rows against all: memory stays flat
        bits = (hashes.shape[1] - signs[start : start + 1024] @ signs.T) / 2
        one, other = np.nonzero(bits <= NEAR)
        found.append(np.stack([one + start, other, bits[one, other].astype(np.intp)]))
    one, other, distance = np.concatenate(found, axis=1)
    kept = one < other
    return one[kept], other[kept], distance[kept]


def _seen(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(2, pixels): a thumbnail, and what of it is finer than BLUR, each with mean 0 and norm 1."""
    image = thumbnail.astype(np.float32)
    both = np.stack([image, image - cv2.GaussianBlur(image, (0, 0), BLUR)]).reshape(2, -1)
    both -= both.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(both, axis=1, keepdims=True)
    return np.asarray(both / np.maximum(norm, 1e-6), np.float32)
