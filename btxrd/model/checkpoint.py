"""Weights, sidecar and training state on disk, in formats that cannot carry code."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from btxrd.artifacts import codec
from btxrd.artifacts.sidecar import LAST, SIDECAR, WEIGHTS, Sidecar
from btxrd.errors import InputError
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write, write_bytes


def save_checkpoint(folder: Path, model: nn.Module, sidecar: Sidecar) -> None:
    """Write the weights, then the sidecar that describes how to use them."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(weights))
    codec.write(folder / SIDECAR, sidecar)


def load_checkpoint(folder: Path) -> tuple[BTXRDClassifier, Sidecar]:
    """Rebuild the classifier of a run from its `checkpoints` folder.

    Returns:
        The model in evaluation mode on the CPU, and its sidecar.

    Raises:
        InputError: If a file is missing or damaged, if the two files do not match, or if the
            sidecar is too new.
    """
    try:
        sidecar = codec.read(folder / SIDECAR, Sidecar)
        model = BTXRDClassifier(**sidecar.arguments, pretrained=False)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: contains no usable {WEIGHTS} and {SIDECAR} ({str(error)[:200]})"
        ) from error
    return model.eval(), sidecar


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state that a training resumes from."""
    with atomic_write(folder / LAST) as temporary:
        torch.save(state, temporary)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read the state that `save_state` wrote; None if there is none.

    Raises:
        InputError: If the file is damaged.
    """
    path = folder / LAST
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each kind of damage raises a type of its own
        raise InputError(
            f"{path}: is damaged; delete it to start this run again ({str(error)[:80]})"
        ) from error
    return state
