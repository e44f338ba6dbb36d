"""Cases that must not be parted: likely the same patient."""

import numpy as np
import pandas as pd

from btxrd.vocabulary import COLUMNS, VIEWS

NEEDED = {"age", "gender"}  # without them no patient can be told from another
TRAITS = tuple(name for name in COLUMNS if name not in ("image_id", *VIEWS))


def likely_patients(cases: pd.DataFrame) -> pd.Series:
    """Name the likely patient of each case.

    BTXRD has no patient ids, but neighbouring ids that agree in center, age, gender, sites, region
    and diagnosis are most likely views of one patient. Such a run is a group.

    Args:
        cases: as `load_cases` gives them, in the order of their ids; columns that are not BTXRD's
            are not looked at.

    Returns:
        The stem of the group's first case, a value a case. Where a NEEDED column is missing, each
        case is a group of its own.
    """
    if not set(cases.columns) >= NEEDED:
        return cases["stem"].rename("group")
    shared = [name for name in TRAITS if name in cases.columns]
    traits = cases[shared].astype(object).where(cases[shared].notna(), None)
    differs = (traits != traits.shift()).any(axis=1).to_numpy()
    first = np.maximum.accumulate(np.where(differs, np.arange(len(cases)), 0))
    return cases["stem"].iloc[first].reset_index(drop=True).rename("group")
