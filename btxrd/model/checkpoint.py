"""Weights, sidecar and training state on disk, in formats that cannot carry code."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from btxrd.artifacts import codec
from btxrd.artifacts.sidecar import LAST, SIDECAR, WEIGHTS, Sidecar
from btxrd.artifacts.tables import HistoryRow
from btxrd.errors import InputError, ran_out_of_memory
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
        model = BTXRDClassifier(**sidecar.arguments.as_keywords(), pretrained=False)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        if ran_out_of_memory(error):
            raise
        raise InputError(
            f"{folder}: contains no usable {WEIGHTS} and {SIDECAR} ({str(error)[:200]})"
        ) from error
    return model.eval(), sidecar


TorchState = dict[str, Any]  # what a `state_dict` returns


@dataclass(frozen=True)
class RandomState:
    """State of torch's generators, of the CPU and of each GPU; training uses no others."""

    cpu: Tensor
    cuda: list[Tensor]


@dataclass
class Progress:
    """Progress within the current epoch."""

    steps: int = 0
    loss: float = 0.0  # summed over the images
    seconds: float = 0.0  # of its training


@dataclass(frozen=True)
class TrainingState:
    """Content of last.pt.

    Attributes:
        model: Weights.
        optimiser: State of the optimiser.
        scaler: State of the gradient scaler; empty if it is disabled.
        averages: EMA weights; None without them.
        history: Rows of the finished epochs.
        data: Name of the images and partitions.
        part: Progress within the current epoch.
        random: State of the generators.
    """

    model: TorchState
    optimiser: TorchState
    scaler: TorchState
    averages: TorchState | None
    history: list[HistoryRow]
    data: str
    part: Progress
    random: RandomState


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state that a training resumes from."""
    plain: dict[str, Any] = {"history": [asdict(row) for row in state.history]}
    plain |= {"part": asdict(state.part), "random": vars(state.random)}
    with atomic_write(folder / LAST) as temporary:
        torch.save(vars(state) | plain, temporary)


def load_state(folder: Path) -> TrainingState | None:
    """Read the state that `save_state` wrote; None if there is none.

    Raises:
        InputError: If the file is damaged.
    """
    path = folder / LAST
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        typed: dict[str, Any] = {"history": [HistoryRow(**row) for row in content["history"]]}
        typed |= {"part": Progress(**content["part"]), "random": RandomState(**content["random"])}
        return TrainingState(**content | typed)
    except Exception as error:  # each kind of damage raises a type of its own
        if ran_out_of_memory(error):
            raise
        raise InputError(
            f"{path}: is damaged; delete it to start this run again ({str(error)[:80]})"
        ) from error
