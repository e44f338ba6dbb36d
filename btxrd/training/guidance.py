"""What a training is told of the lesions; nothing else is ever told."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from btxrd.data.batches import Pixels
from btxrd.data.constants import NORMAL
from btxrd.data.dataset import Dataset
from btxrd.errors import InputError


def lesions_to_learn(
    dataset: Dataset, kind: str, sham: str, seed: int, root: str
) -> tuple[dict[int, Pixels] | None, list[str]]:
    """Give the masks that a training is guided by; no other partition's are looked at.

    Args:
        dataset: of the run.
        kind: of the guidance, as in the config.
        sham: `none`; `shuffled`: each tumour has the outline of another one; `normals`: so has each
            normal film.
        seed: of the shams.
        root: of the data, for what is said.

    Returns:
        The masks (S, S) uint8 by row of the cases, None without guidance; and lines to be said.

    Raises:
        InputError: where no training tumour is outlined.
    """
    if kind == "none":
        return None, []
    train = dataset.rows("train")
    tumours = train[dataset.labels[train] != NORMAL]
    masks = dataset.masks(tumours)
    if not masks:
        folder = Path(root) / "Annotations"
        raise InputError(f"annotations.kind={kind}: {folder} outlines no training tumour")
    absent = len(tumours) - len(masks)
    said = [f"{absent} of {len(tumours)} training tumours have no outline"] if absent else []
    draw = np.random.default_rng(seed)
    if sham == "shuffled":
        masks = _shuffled(masks, draw)
    elif sham == "normals":
        masks |= _lent(masks, train[dataset.labels[train] == NORMAL], draw)
    return masks, said


def _shuffled(masks: dict[int, Pixels], draw: np.random.Generator) -> dict[int, Pixels]:
    """Hand the masks on along a random ring, so that no film keeps its own."""
    ring = draw.permutation(list(masks))
    pairs = zip(ring, np.roll(ring, 1), strict=True)
    return {int(row): masks[int(lender)] for row, lender in pairs}


def _lent(
    masks: dict[int, Pixels], rows: npt.NDArray[np.intp], draw: np.random.Generator
) -> dict[int, Pixels]:
    lenders = draw.choice(list(masks), len(rows))
    return {int(row): masks[int(lender)] for row, lender in zip(rows, lenders, strict=True)}
