"""Find cases that must stay in one partition: likely patients and near-duplicates."""

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

NEEDED = {"age", "gender"}  # columns without which likely patients cannot be identified
QUOTES = " \t\n'\"\u2018\u2019\u201c\u201d"
SAME = {"true": "1", "false": "0", "female": "f", "male": "m"}  # other spellings of cells
GENDERS = ("f", "m", "")
NO_FLAGS = ("age", "gender")  # matching columns in which an empty cell does not mean 0
MATCHING_COLUMNS = tuple(name for name in COLUMNS if name not in ("image_id", *VIEWS))
NEAR = 14  # largest number of bits, of 64, in which perceptual hashes of candidates differ
MIN_CORRELATION = 0.98  # of the thumbnails of near-duplicates
MIN_DETAIL_CORRELATION = 0.9  # of the detail in them
BLUR = 2.0  # pixels of a thumbnail; detail is what this Gaussian blur removes


def likely_patients(cases: pd.DataFrame) -> pd.Series:
    """Return the likely patient of each case.

    BTXRD has no patient ids. Consecutive cases with equal center, age, gender, sites, region and
    diagnosis are most likely images of one patient.

    Args:
        cases: Cases as returned by `load_cases`, in the order of their ids. Only MATCHING_COLUMNS
            are compared, after `comparable`. Two empty cells are equal.

    Returns:
        (n,) stem of the first case of each patient. If `can_tell_patients` is false, each case is
        a patient of its own.
    """
    if not can_tell_patients(cases):
        return cases["stem"].rename("patient")
    shared = [name for name in MATCHING_COLUMNS if name in cases.columns]
    matching = pd.DataFrame({name: comparable(cases[name]) for name in shared})
    differs = (matching != matching.shift()).any(axis=1).to_numpy()
    first = np.maximum.accumulate(np.where(differs, np.arange(len(cases)), 0))
    return cases["stem"].iloc[first].reset_index(drop=True).rename("patient")


def can_tell_patients(cases: pd.DataFrame) -> bool:
    """Return whether the NEEDED columns exist and are not empty."""
    return set(cases.columns) >= NEEDED and all((comparable(cases[n]) != "").any() for n in NEEDED)


def comparable(cells: pd.Series) -> pd.Series:
    """Return the cells of a column in a uniform spelling.

    Capitals, outer spaces and quotation marks are removed, and numbers have one format. In a column
    of flags, an empty cell becomes 0.
    """
    spelt = cells.astype(object).map(_one_spelling)
    return spelt if cells.name in NO_FLAGS else spelt.replace("", _one_spelling(0))


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
    """Return the cells of the column `gender` that are neither F nor M nor empty, by stem."""
    if "gender" not in cases.columns:
        return {}
    odd = ~comparable(cases["gender"]).isin(GENDERS)
    return dict(zip(cases["stem"][odd], cases["gender"][odd].map(str), strict=True))


def respelt(cases: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Find cells that equal others of their column after `comparable`, but are spelt differently.

    Returns:
        The columns, and the stems of the cases that have a less common spelling in one of them.
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
    """Return the group of each case.

    Groups are the connected components of the graph that links the cases of a patient and the
    near-duplicates.

    Args:
        cases: Cases with `stem` and `patient`.
        pairs: Near-duplicates, with their stems `one` and `other`.

    Returns:
        (n,) stem of the first case of each group.
    """
    rows = pd.Series(range(len(cases)), index=cases["stem"])
    one = rows.loc[[*cases["stem"], *pairs["one"]]].to_numpy()
    other = rows.loc[[*cases["patient"], *pairs["other"]]].to_numpy()
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(cases), len(cases)))
    component = pd.Series(connected_components(links, directed=False)[1])
    return cases["stem"].groupby(component.to_numpy()).transform("first").rename("group")


def near_duplicates(cases: pd.DataFrame, survey: Survey) -> pd.DataFrame:
    """Find pairs of images that are copies: identical, encoded again, resized or brightened.

    Candidates are pairs whose perceptual hashes differ in at most NEAR bits. The hash alone also
    pairs unrelated hands, so a candidate must have similar thumbnails, and similar detail in them
    (the thumbnail minus its blurred copy). Among 1,200 images of BTXRD, the detail of two pairs of
    copies correlates at 1.00, and that of the next pair, two images of one patient, at 0.88. With
    copies of all 1,200 images at JPEG quality 25, at half the size, 20% brighter or 20% darker, one
    copy in 2,400 is missed. Mirrored, rotated and cropped images are not found.

    Args:
        cases: Cases with `stem` and `label`.
        survey: Survey of their images, in the same order, without errors.

    Returns:
        One row per pair: `one` and `other` (stems), `bits` (in which the hashes differ),
        `detail_correlation` (-1 to 1), `identical` (equal files), `contradict` (different labels).
    """
    one, other, bits = _candidates(survey.hashes)
    rows = {*one.tolist(), *other.tolist()}
    scaled = {row: _standardised(survey.thumbnails[row]) for row in rows}
    products = [(scaled[i] * scaled[j]).sum(axis=1) for i, j in zip(one, other, strict=True)]
    whole, detail = np.array(products).reshape(-1, 2).T
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
    is_alike = (whole >= MIN_CORRELATION) & (detail >= MIN_DETAIL_CORRELATION)
    is_copy = pairs["identical"] | is_alike
    return pairs[is_copy].reset_index(drop=True)


def _candidates(
    hashes: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first and second row of each pair, and the number of bits that differ."""
    signs = np.where(hashes, 1, -1).astype(np.float32)
    found = []
    for start in range(0, len(signs), 1024):  # blocks of rows limit the memory
        bits = (hashes.shape[1] - signs[start : start + 1024] @ signs.T) / 2
        one, other = np.nonzero(bits <= NEAR)
        found.append(np.stack([one + start, other, bits[one, other].astype(np.intp)]))
    one, other, distance = np.concatenate(found, axis=1)
    kept = one < other
    return one[kept], other[kept], distance[kept]


def _standardised(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return a thumbnail and its detail, (2, pixels) float32, each with mean 0 and norm 1."""
    image = thumbnail.astype(np.float32)
    both = np.stack([image, image - cv2.GaussianBlur(image, (0, 0), BLUR)]).reshape(2, -1)
    both -= both.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(both, axis=1, keepdims=True)
    return np.asarray(both / np.maximum(norm, 1e-6), np.float32)
