"""Cases that must not be parted: likely the same patient."""

import logging

import numpy as np
import pandas as pd

from btxrd.data.cases import REQUIRED_COLUMNS

log = logging.getLogger(__name__)

VIEWS = ("frontal", "lateral", "oblique")
OWN_COLUMNS = ("image_id", "stem", "label", "path")


def likely_patients(cases: pd.DataFrame) -> pd.Series:
    """Name the likely patient of each case.

    BTXRD has no patient ids, but neighbouring ids that agree in center, age, gender, sites, region
    and diagnosis are most likely views of one patient. Such a run is a group.

    Args:
        cases: as `load_cases` gives them, in the order of their ids.

    Returns:
        The stem of the group's first case, a value a case. Without age and gender in the table no
        patient can be told, and each case is a group of its own.
    """
    if not {"age", "gender"} <= set(cases.columns):
        log.warning("The table has no age and gender: films of one patient cannot be kept together")
        return cases["stem"].rename("group")
    shared = [name for name in cases.columns if name not in (*OWN_COLUMNS, *VIEWS)]
    assert set(REQUIRED_COLUMNS[1:]) <= set(shared)
    traits = cases[shared].astype(object).where(cases[shared].notna(), None)
    differs = (traits != traits.shift()).any(axis=1).to_numpy()
    first = np.maximum.accumulate(np.where(differs, np.arange(len(cases)), 0))
    return cases["stem"].iloc[first].reset_index(drop=True).rename("group")
