"""The lesion masks that a training may use: those of training cases only."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from btxrd.data.batches import Pixels
from btxrd.data.dataset import Dataset
from btxrd.errors import InputError


def training_masks(
    dataset: Dataset, kind: str, sham: str, seed: int, root: str
) -> tuple[dict[int, Pixels] | None, list[str]]:
    """Return the lesion masks of the training cases; those of other partitions are not read.

    Args:
        dataset: Data of the run.
        kind: Use of the outlines, as in the config.
        sham: `none`; `shuffled`: each tumour has the outline of another one; `normals`: each
            background case has the outline of a tumour, too.
        seed: Seed of the controls.
        root: Folder of the data, for the messages.

    Returns:
        The masks (S, S) uint8 by row of the cases, None without guidance; and warnings.

    Raises:
        InputError: If no training tumour is outlined.
    """
    if kind == "none":
        return None, []
    train = dataset.rows("train")
    is_background = dataset.labels[train] == dataset.class_names.background_label
    tumours = train[~is_background]
    masks = dataset.masks(tumours)
    if not masks:
        folder = Path(root) / "Annotations"
        raise InputError(f"annotations.kind={kind}: {folder} outlines no training tumour")
    absent = len(tumours) - len(masks)
    warnings = [f"{absent} of {len(tumours)} training tumours have no outline"] if absent else []
    draw = np.random.default_rng(seed)
    if sham == "shuffled":
        masks = _shuffled(masks, draw)
    elif sham == "normals":
        masks |= _drawn(masks, train[is_background], draw)
    return masks, warnings


def _shuffled(masks: dict[int, Pixels], draw: np.random.Generator) -> dict[int, Pixels]:
    """Rotate the masks along a random permutation, so that no image keeps its own."""
    order = draw.permutation(list(masks))
    pairs = zip(order, np.roll(order, 1), strict=True)
    return {int(row): masks[int(source)] for row, source in pairs}


def _drawn(
    masks: dict[int, Pixels], rows: npt.NDArray[np.intp], draw: np.random.Generator
) -> dict[int, Pixels]:
    """Draw a mask for each of the rows."""
    sources = draw.choice(list(masks), len(rows))
    return {int(row): masks[int(source)] for row, source in zip(rows, sources, strict=True)}
