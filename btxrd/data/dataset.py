"""The data of a run: cases assigned to partitions, their outlines and their pixels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.artifacts.classes import ClassNames
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.constants import CLASS_NAMES, CLASSES
from btxrd.data.groups import can_tell_patients
from btxrd.data.inspection import Inspection, inspect
from btxrd.data.leakage import check_split
from btxrd.data.pixels import Stored, load_masks, load_pixels
from btxrd.data.splits import EXCLUDED, assign_partitions, split_hash

SEALED = "sealed"


@dataclass(frozen=True)
class Dataset:
    """The images of a run.

    Attributes:
        cases: One row per image, in the order of ids: `load_cases` with `patient`, `group`,
            `partition`, and `width` and `height` in pixels.
        pixels: (n, S, S) uint8, one image per row of `cases`.
        lesions: Masks (S, S) uint8, 1 on the lesions, of the tumours with an outline, by stem.
        warnings: One line for each kind of correction and for each property that limits the
            results.
        class_names: Classes in the order of the labels.
    """

    cases: pd.DataFrame
    pixels: Stored
    lesions: dict[str, npt.NDArray[np.uint8]]
    warnings: tuple[str, ...]
    class_names: ClassNames = CLASS_NAMES

    @property
    def identity(self) -> str:
        """Identify the partitions and the pixels by hashes of their content."""
        return f"{split_hash(self.cases)} {Path(str(self.pixels.filename)).name}"

    @property
    def labels(self) -> npt.NDArray[np.intp]:
        """Labels of all cases, (n,) int64."""
        return self.cases["label"].to_numpy(np.intp)

    @property
    def val_is_test(self) -> bool:
        """Whether the test partition also serves as the validation partition."""
        return not (self.cases["partition"] == "val").any()

    def sealed(self) -> "Dataset":
        """Return a copy for training, in which the test cases and their outlines are hidden.

        `rows("test")` of the copy raises ValueError. `pixels` still contains the test images, so
        this guards against accidental use only. If the test partition also serves as the
        validation partition, the data set is returned unchanged.
        """
        if self.val_is_test:
            return self
        hidden = self.cases["partition"].replace("test", SEALED)
        tests = set(self.cases.loc[hidden == SEALED, "stem"])
        lesions = {stem: mask for stem, mask in self.lesions.items() if stem not in tests}
        return replace(self, cases=self.cases.assign(partition=hidden), lesions=lesions)

    def rows(self, partition: str) -> npt.NDArray[np.intp]:
        """Return the rows of a partition, in the order of ids.

        Raises:
            ValueError: If the test partition is hidden; see `sealed`.
        """
        wanted = "test" if partition == "val" and self.val_is_test else partition
        if wanted == "test" and (self.cases["partition"] == SEALED).any():
            raise ValueError("the test partition is sealed")
        return np.flatnonzero(self.cases["partition"] == wanted)

    def masks(self, rows: npt.NDArray[np.intp]) -> dict[int, npt.NDArray[np.uint8]]:
        """Return lesion masks (S, S) uint8 by row, for those of `rows` that have an outline."""
        stems = self.cases["stem"].to_numpy()
        return {int(row): self.lesions[stems[row]] for row in rows if stems[row] in self.lesions}


def load_dataset(data: DataConfig, split: SplitConfig, image_size: int) -> Dataset:
    """Load the data of a run. The first call decodes the images and caches them.

    Synthetic images must exist already; see `btxrd.phantom.write.ensure_phantom`.

    Raises:
        InputError: If the data cannot be used, or cannot be split as configured.
    """
    found = inspect(Path(data.root), Path(data.cache), strict=True)
    cases = assign_cases(found, data, split)
    check_split(cases, split)
    digest = dict(zip(found.survey.paths, found.survey.digests, strict=True))
    info = dict(zip(found.survey.paths, found.survey.infos, strict=True))
    cases["width"] = [info[path].width for path in cases["path"]]
    cases["height"] = [info[path].height for path in cases["path"]]
    pixels = load_pixels(
        cases["path"].tolist(),
        image_size,
        clahe_clip=data.clahe_clip,
        clahe_tiles=data.clahe_tiles,
        keep_aspect=data.aspect == "keep",
        cache=Path(data.cache),
        digests=[digest[path] for path in cases["path"]],
    )
    masks = load_masks(
        list(found.outlines.values()),
        image_size,
        keep_aspect=data.aspect == "keep",
        cache=Path(data.cache),
    )
    lesions = dict(zip(found.outlines, masks, strict=True))
    return Dataset(cases, pixels, lesions, tuple(_warnings(found, data, split)))


def assign_cases(found: Inspection, data: DataConfig, split: SplitConfig) -> pd.DataFrame:
    """Return the cases of a run with their `partition`; excluded cases are left out.

    Raises:
        InputError: If the cases cannot be split as configured.
    """
    cases = found.cases
    if data.contradictions == "drop":
        cases = without_contradictions(cases, found.pairs)
    cases = cases.assign(partition=assign_partitions(cases, split))
    return cases[cases["partition"] != EXCLUDED].reset_index(drop=True)


def without_contradictions(cases: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the cases without near-duplicates that have different labels."""
    contradicted = pairs.loc[pairs["contradict"], ["one", "other"]].to_numpy().ravel()
    return cases[~cases["stem"].isin(contradicted)].reset_index(drop=True)


def _warnings(found: Inspection, data: DataConfig, split: SplitConfig) -> list[str]:
    warnings = list(found.warning_lines)
    if not can_tell_patients(found.cases):
        warnings.append(
            "The table lacks age or gender: images of one patient may be in several partitions"
        )
    label = dict(zip(found.cases["stem"], found.cases["label"], strict=True))
    contradicting = found.pairs[found.pairs["contradict"]]
    if len(contradicting):
        pairs = contradicting[["one", "other"]].itertuples(index=False)
        named = "; ".join(
            " and ".join(f"{s} ({CLASSES[label[s]]})" for s in pair) for pair in pairs
        )
        done = {"keep": "kept; data.contradictions=drop leaves them out", "drop": "left out"}
        warnings.append(
            f"Near-duplicates with different labels: {named} ({done[data.contradictions]})"
        )
    if split.title != split.strategy:
        warnings.append(f"The split is {split.title}")
    return warnings
