"""Compare settings by the share of tumours with the Grad-CAM maximum on the lesion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from btxrd.artifacts.tables import GRADCAM, read_table
from btxrd.errors import InputError
from btxrd.evaluation.bootstrap import bootstrap_weights, with_sample
from btxrd.evaluation.formulas import Floats, mean
from btxrd.evaluation.localisation import OK
from btxrd.report.comparison_sets import SeedVariance
from btxrd.report.settings import Setting
from btxrd.report.simultaneous import Panel


@dataclass(frozen=True)
class Peaks:
    """The test tumours of a setting whose maps are usable for all seeds.

    Attributes:
        inside: Share of the seeds with the maximum on the lesion, by image id.
        groups: Group of each tumour, by image id.
        of_seeds: (seeds,) share of the tumours with the maximum on the lesion.
    """

    inside: "pd.Series[float]"
    groups: "pd.Series[str]"
    of_seeds: Floats

    def overlaps(self, other: "Peaks") -> bool:
        """Return whether a tumour has usable maps in both settings."""
        return bool(self.inside.index.isin(other.inside.index).any())


def read_peaks(setting: Setting) -> Peaks | None:
    """Read gradcam.csv of each run; None if a file cannot be read, or no tumour is usable."""
    tables = []
    for run in setting.runs:
        try:
            table = read_table(run.path, GRADCAM).set_index("image_id")
        except (InputError, OSError):
            return None
        tables.append(table[table["map"] == OK])
    by_seed = pd.concat([table["peak_inside"] for table in tables], axis=1, join="inner").dropna()
    if by_seed.empty:
        return None
    groups = tables[0]["group"].loc[by_seed.index]
    return Peaks(by_seed.mean(axis=1), groups, by_seed.mean(axis=0).to_numpy(float))


def peaks_panel(pairs: Sequence[tuple[Peaks, Peaks]]) -> Panel:
    """Return the differences of pairs, each on the tumours with usable maps in both settings."""
    differences = [(one.inside - other.inside).dropna() for one, other in pairs]
    groups = pd.concat([peaks.groups for pair in pairs for peaks in pair])
    groups = groups[~groups.index.duplicated()].sort_index()
    weights = with_sample(bootstrap_weights(groups.to_numpy(str)))
    resampled = np.column_stack(
        [
            mean(found.to_numpy(float), weights[:, groups.index.get_indexer(found.index)])
            for found in differences
        ]
    )
    both = {id(peaks): peaks for pair in pairs for peaks in pair}.values()
    seeds = SeedVariance.of([one.of_seeds for one in both if len(one.of_seeds) > 1])
    shares = [sum(1 / len(peaks.of_seeds) for peaks in pair) for pair in pairs]
    variances = seeds.sd**2 * np.array(shares)
    fewest = min(groups[found.index].nunique() for found in differences)
    noise = seeds.joint_noise(len(weights) - 1, variances)
    return Panel(resampled, noise, variances, fewest, fewest)
