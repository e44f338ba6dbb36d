"""Weights and sidecar on disk: neither can carry code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from btxrd.artifacts.sidecar import LAST, SIDECAR, WEIGHTS
from btxrd.errors import InputError
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write, write_bytes, write_json


def save_checkpoint(folder: Path, model: nn.Module, sidecar: dict[str, Any]) -> None:
    """Write the weights, then the sidecar that tells how to use them."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(weights))
    write_json(folder / SIDECAR, sidecar)


def load_checkpoint(folder: Path) -> tuple[BTXRDClassifier, dict[str, Any]]:
    """Rebuild the classifier of a run from its `checkpoints` folder.

    Returns:
        The model in evaluation mode on the CPU, and its sidecar.

    Raises:
        InputError: for a file that is missing, damaged, or does not fit the other.
    """
    try:
        sidecar = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
        model = BTXRDClassifier(**sidecar["arguments"], pretrained=False)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: holds no usable {WEIGHTS} and {SIDECAR} ({str(error)[:200]})"
        ) from error
    return model.eval(), sidecar


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write all that is needed to go on with a training."""
    with atomic_write(folder / LAST) as beside:
        torch.save(state, beside)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read what `save_state` wrote; None where nothing was.

    Raises:
        InputError: for a damaged file.
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
