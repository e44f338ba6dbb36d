"""Cases that must not be parted: likely the same patient, or near-duplicates."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from btxrd.data.constants import COLUMNS, VIEWS

NEEDED = {"age", "gender"}  # without them no patient can be told from another
MATCHING_COLUMNS = tuple(name for name in COLUMNS if name not in ("image_id", *VIEWS))


def likely_patients(cases: pd.DataFrame) -> pd.Series:
    """Name the likely patient of each case.

    BTXRD has no patient ids, but neighbouring ids that agree in center, age, gender, sites, region
    and diagnosis are most likely views of one patient.

    Args:
        cases: as `load_cases` gives them, in the order of their ids; columns that are not BTXRD's
            are not looked at.

    Returns:
        The stem of the patient's first case, a value a case. An empty cell agrees with an empty
        one. Where `can_tell_patients` is false each case is a patient of its own.
    """
    if not can_tell_patients(cases):
        return cases["stem"].rename("patient")
    shared = [name for name in MATCHING_COLUMNS if name in cases.columns]
    matching = cases[shared].astype(object).where(cases[shared].notna(), "")
    differs = (matching != matching.shift()).any(axis=1).to_numpy()
    first = np.maximum.accumulate(np.where(differs, np.arange(len(cases)), 0))
    return cases["stem"].iloc[first].reset_index(drop=True).rename("patient")


def can_tell_patients(cases: pd.DataFrame) -> bool:
    """Whether the NEEDED columns are there, and not empty."""
    return set(cases.columns) >= NEEDED and all(cases[name].notna().any() for name in NEEDED)


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
