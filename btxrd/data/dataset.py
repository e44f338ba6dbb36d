"""What a run works on: the cases dealt to partitions, their outlines, their pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.data.annotations import Outline, lesion_mask, read_outlines
from btxrd.data.cases import load_cases
from btxrd.data.groups import likely_patients
from btxrd.data.phantom import write_phantom
from btxrd.data.pixels import load_pixels
from btxrd.data.splits import Strategy, assign_partitions, split_hash
from btxrd.schema import DataConfig, SplitConfig


@dataclass(frozen=True)
class Dataset:
    """The films of a run.

    Attributes:
        cases: a row a film, as `split_cases` gives them.
        outlines: of the tumours, by stem.
        pixels: (n, S, S) uint8, a film a row of `cases`.
    """

    cases: pd.DataFrame
    outlines: dict[str, Outline]
    pixels: "np.memmap[Any, np.dtype[np.uint8]]"

    @property
    def identity(self) -> str:
        """Name the partitions and the pixels by their content."""
        return f"{split_hash(self.cases)} {Path(str(self.pixels.filename)).name}"

    @property
    def labels(self) -> npt.NDArray[np.intp]:
        """(n,) of all cases."""
        return self.cases["label"].to_numpy(np.intp)

    def rows(self, partition: str) -> npt.NDArray[np.intp]:
        """Rows of a partition, in the order of the cases."""
        return np.flatnonzero(self.cases["partition"] == partition)

    def masks(self, rows: npt.NDArray[np.intp]) -> dict[int, npt.NDArray[np.uint8]]:
        """Lesion masks (S, S) of those among `rows` that have an outline, by row."""
        stems = self.cases["stem"].to_numpy()
        return {
            int(row): lesion_mask(self.outlines[stems[row]], self.pixels.shape[1])
            for row in rows
            if stems[row] in self.outlines
        }


def load_dataset(data: DataConfig, split: SplitConfig, image_size: int) -> Dataset:
    """Load all that a run needs of its data; films are decoded at the first call.

    Raises:
        InputError: for data that cannot be used, or not be split so.
    """
    cases = split_cases(data, split)
    tumours = cases.loc[cases["label"] > 0, "stem"].tolist()
    outlines = read_outlines(Path(data.root), tumours)  # seconds; decoding may take minutes
    pixels = load_pixels(
        cases["path"].tolist(),
        image_size,
        clahe_clip=data.clahe_clip,
        clahe_tiles=data.clahe_tiles,
        cache=Path(data.cache),
    )
    return Dataset(cases, outlines, pixels)


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
