"""Select the lesion masks that training may use: those of the training cases."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from btxrd.data.batches import Pixels
from btxrd.data.dataset import Dataset
from btxrd.errors import InputError


def training_masks(
    dataset: Dataset, kind: str, sham: str, seed: int, root: str
) -> tuple[dict[int, Pixels] | None, list[str]]:
    """Return the lesion masks of the training cases.

    Args:
        dataset: Data of the run.
        kind: Use of the outlines in training, `annotations.kind` of the config.
        sham: Control for the position of the outlines. `none`: no control; `shuffled`: each tumour
            gets the outline of another one; `normals`: each normal case gets the outline of a
            tumour, in addition to the tumours.
        seed: Seed of the control.
        root: Folder of the data, for error messages.

    Returns:
        Masks (S, S) uint8 by row of the cases, or None if `kind` is `none`; and warnings.

    Raises:
        InputError: If no training tumour has an outline.
    """
    if kind == "none":
        return None, []
    train = dataset.rows("train")
    is_background = dataset.labels[train] == dataset.class_names.background_label
    tumours = train[~is_background]
    masks = dataset.masks(tumours)
    if not masks:
        folder = Path(root) / "Annotations"
        raise InputError(
            f"annotations.kind={kind}: {folder} has no outline of a training tumour; "
            "add outlines, or set annotations=none"
        )
    absent = len(tumours) - len(masks)
    warnings = [f"{absent} of {len(tumours)} training tumours have no outline"] if absent else []
    draw = np.random.default_rng(seed)
    if sham == "shuffled":
        masks = _shuffled(masks, draw)
    elif sham == "normals":
        masks |= _drawn(masks, train[is_background], draw)
    return masks, warnings


def _shuffled(masks: dict[int, Pixels], draw: np.random.Generator) -> dict[int, Pixels]:
    """Exchange the masks along a random cycle, so that none of two or more keeps its own."""
    order = draw.permutation(list(masks))
    pairs = zip(order, np.roll(order, 1), strict=True)
    return {int(row): masks[int(source)] for row, source in pairs}


def _drawn(
    masks: dict[int, Pixels], rows: npt.NDArray[np.intp], draw: np.random.Generator
) -> dict[int, Pixels]:
    """Draw one of the masks for each row, with replacement."""
    sources = draw.choice(list(masks), len(rows))
    return {int(row): masks[int(source)] for row, source in zip(rows, sources, strict=True)}
