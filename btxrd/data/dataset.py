"""All that a run needs to know of its data before it looks at a pixel."""

from pathlib import Path
from typing import cast

import pandas as pd

from btxrd.data.cases import load_cases
from btxrd.data.groups import likely_patients
from btxrd.data.phantom import write_phantom
from btxrd.data.splits import Strategy, assign_partitions
from btxrd.schema import DataConfig, SplitConfig


def split_cases(data: DataConfig, split: SplitConfig) -> pd.DataFrame:
    """Load the cases of a folder, with their `group` and `partition`.

    Synthetic films are written first, where the data are to be synthetic.

    Raises:
        InputError: for data that cannot be used, or not be split so.
    """
    root = Path(data.root)
    if data.phantom is not None:
        write_phantom(root, data.phantom.cases, data.phantom.seed)
    cases = load_cases(root)
    cases["group"] = likely_patients(cases)
    cases["partition"] = assign_partitions(
        cases,
        cast(Strategy, split.strategy),
        val=split.val,
        test=split.test,
        held_out=split.held_out,
        seed=split.seed,
    )
    return cases
