"""The disk space that runs need, estimated before the first of them starts."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from btxrd.artifacts.sidecar import CHECKPOINTS, LAST, WEIGHTS
from btxrd.config.schema import Config, DataConfig
from btxrd.runtime.cores import cores
from btxrd.runtime.folders import Need

if TYPE_CHECKING:
    import pandas as pd

# Measured on runs of the default grid: 25 to 45 files and 0.6 to 3 MB beside the weights.
FILES, LEAST_BYTES, EXPECTED_BYTES = 25, 500_000, 5_000_000
PHANTOM_BYTES = 10_000  # per synthetic image, with its outlines
HEADER = 4096  # bytes; more than the header and the checksum of a cached array


@dataclass(frozen=True)
class Counts:
    """Numbers of cases of a run.

    Attributes:
        train: Training cases.
        val: Validation cases.
        test: Test cases.
        outlined: Training cases with an outlined tumour.
        outlined_in_test: Test cases with an outlined tumour.
        masked: Test cases of which masked variants are evaluated.
        outlines: Outlines of the whole data set.
    """

    train: int
    val: int
    test: int
    outlined: int = 0
    outlined_in_test: int = 0
    masked: int = 0
    outlines: int = 0

    @property
    def cases(self) -> int:
        """Number of cases in all partitions."""
        return self.train + self.val + self.test


def count(cases: "pd.DataFrame", outlines: Collection[str]) -> Counts:
    """Count the cases of a run, given the names of the outlined ones."""
    from btxrd.artifacts.tables import PARTITIONS
    from btxrd.data.constants import NORMAL

    is_outlined = cases["stem"].map(lambda stem: stem in outlines).astype(bool)
    of_train, of_val, of_test = (cases["partition"] == name for name in PARTITIONS)
    return Counts(
        train=int(of_train.sum()),
        val=int(of_val.sum()),
        test=int(of_test.sum()),
        outlined=int((of_train & is_outlined).sum()),
        outlined_in_test=int((of_test & is_outlined).sum()),
        masked=int((of_test & (is_outlined | (cases["label"] == NORMAL))).sum()),
        outlines=len(outlines),
    )


def phantom_needs(data: DataConfig) -> list[Need]:
    """Estimate the disk space of the synthetic data of a config, if it is missing."""
    root = Path(data.root)
    if data.phantom is None or root.exists():
        return []
    size = data.phantom.cases * PHANTOM_BYTES
    return [Need(root, least=size, expected=2 * size)]


def needs(
    runs: dict[Path, Config],
    counts: dict[Path, Counts],
    sizes: dict[Path, int],
    *,
    is_local: bool = True,
) -> list[Need]:
    """Estimate the disk space that the caches and the folders of runs need in addition.

    Args:
        runs: Configs of the runs to execute, by folder.
        counts: Numbers of cases, by folder.
        sizes: Sizes of the weights in bytes, by folder.
        is_local: Whether this machine executes the runs, with at most one run per core at a time.
    """
    if not runs:
        return []
    arrays: dict[Path, int] = {}
    for folder, config in runs.items():
        arrays |= _arrays(config, counts[folder])
    found = [
        Need(cache, sum(missing), sum(missing), max(missing))
        for cache in {path.parent for path in arrays}
        if (missing := [arrays[path] for path in arrays if path.parent == cache and arrays[path]])
    ]
    size = {folder: sizes.get(folder, 0) for folder in runs}
    finals = sum(max(0, size[it] - _size(it / CHECKPOINTS / WEIGHTS)) for it in runs)
    states = sorted((_states(config, size[it]) for it, config in runs.items()), reverse=True)
    present = sum(_size(folder / CHECKPOINTS / LAST) for folder in runs)
    at_once = min(len(runs), cores()) if is_local else len(runs)
    peaks = [sum(states[:n]) for n in (1, at_once)]
    least, expected = (max(0, finals + peak - present) for peak in peaks)
    found.append(
        Need(
            folder=Path(os.path.commonpath(runs)),
            least=least + LEAST_BYTES * len(runs),
            expected=expected + EXPECTED_BYTES * len(runs),
            largest=max(size.values()) * 3,
            files=FILES * len(runs),
        )
    )
    return found


def _arrays(config: Config, counts: Counts) -> dict[Path, int]:
    """Return the bytes of each cached array of a run that is missing, 0 if it is there.

    The names of these files follow from the content of all images. So a file with the right size
    counts as the array.
    """
    data, size = config.data, config.model.image_size
    found = {}
    for what, images in (("pixels", counts.cases), ("masks", counts.outlines)):
        needed = images * size * size
        files = Path(data.cache).glob(f"{what}-{size}-*.npy")
        is_there = any(0 < path.stat().st_size - needed < HEADER for path in files)
        settings = (data.root, data.clahe_clip, data.clahe_tiles, data.aspect)
        name = f"{what}-{size}-{images}-{hash(settings)}"
        found[Path(data.cache, name)] = 0 if is_there else needed
    return found


def _states(config: Config, size: int) -> int:
    """Return the bytes of the resume states of a run: the next one is written beside the last.

    A state consists of the weights, two moments of AdamW, and perhaps EMA weights.
    """
    parts = 4 if config.training.ema > 0 else 3
    return size * parts * min(2, config.training.epochs)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
