"""Read and write weights, sidecar and training state, without running code from the files."""

import hashlib
import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from btxrd.artifacts import codec
from btxrd.artifacts.hashes import digest, verify_member
from btxrd.artifacts.sidecar import LAST, NEXT, SIDECAR, WEIGHTS, Sidecar
from btxrd.artifacts.tables import HistoryRow
from btxrd.errors import DamagedError, InputError, ran_out_of_memory
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write, is_there, read_file, write_bytes

SEAL = b"\nbtxrd sha256 "  # begins the last line of last.pt, which torch ignores
AGAIN = "to start this run again"


def save_checkpoint(folder: Path, model: nn.Module, sidecar: Sidecar) -> None:
    """Write the weights, and the sidecar that describes how to use them.

    Two files cannot be replaced in one atomic step. Therefore the weights are renamed last. If the
    process is killed before that, `verify_checkpoint` renames them.
    """
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    content = save(weights)
    write_bytes(folder / NEXT, content)
    codec.write(folder / SIDECAR, replace(sidecar, sha256=hashlib.sha256(content).hexdigest()))
    (folder / NEXT).replace(folder / WEIGHTS)


def verify_checkpoint(folder: Path, fingerprint: str | None = None) -> Sidecar:
    """Read the sidecar of weights, and verify that the weights are those that it describes.

    Args:
        folder: Folder `checkpoints` of a run.
        fingerprint: Fingerprint of the run that they must belong to; None for any run.

    Raises:
        InputError: If a file is missing or damaged, if the two do not belong together or to the
            run, or if the sidecar is too new.
    """
    path = folder / WEIGHTS
    try:
        if not is_there(folder):
            raise InputError(f"{folder}: no such folder; give the folder checkpoints of a run")
        sidecar = codec.read(folder / SIDECAR, Sidecar)
        is_next = (folder / NEXT).is_file() and digest(folder / NEXT) == sidecar.sha256
        if is_next:  # the process was killed before it could rename the file
            (folder / NEXT).replace(path)
        found = digest(path) if path.is_file() else None
        verify_member(folder / SIDECAR)
        verify_member(path)
    except OSError as error:
        raise InputError(
            f"{folder}: contains no usable {WEIGHTS} and {SIDECAR} ({error})"
        ) from error
    if found is None:
        raise InputError(f"{path}: is missing; restore it, or delete {folder} {AGAIN}")
    if sidecar.sha256 not in (None, found):
        raise DamagedError(
            f"{path}: is damaged or does not belong to {SIDECAR} (its sha256 is {found[:12]}, "
            f"but must be {sidecar.sha256[:12]}); restore it, or delete {folder} {AGAIN}"
        )
    if fingerprint is not None and sidecar.fingerprint != fingerprint:
        raise InputError(
            f"{folder / SIDECAR}: belongs to another run (fingerprint {sidecar.fingerprint}, but "
            f"this run has {fingerprint}); delete {folder} {AGAIN}"
        )
    return sidecar


def load_checkpoint(
    folder: Path, fingerprint: str | None = None
) -> tuple[BTXRDClassifier, Sidecar]:
    """Rebuild the classifier of a run from its `checkpoints` folder.

    Args:
        folder: Folder `checkpoints` of a run.
        fingerprint: See `verify_checkpoint`.

    Returns:
        The model in evaluation mode on the CPU, and its sidecar.

    Raises:
        InputError: If the files cannot be used; see `verify_checkpoint`.
    """
    sidecar = verify_checkpoint(folder, fingerprint)
    try:
        model = BTXRDClassifier(**sidecar.arguments.as_keywords(), pretrained=False)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        if ran_out_of_memory(error):
            raise
        raise InputError(
            f"{folder}: contains no usable {WEIGHTS} and {SIDECAR} ({str(error)[:200]})"
        ) from error
    return model.eval(), sidecar


TorchState = dict[str, Any]  # return type of `state_dict`


@dataclass(frozen=True)
class RandomState:
    """States of torch's random number generators of the CPU and of each GPU."""

    cpu: Tensor
    cuda: list[Tensor]


@dataclass
class Progress:
    """Progress within the current epoch."""

    steps: int = 0
    loss: float = 0.0  # sum over the images
    seconds: float = 0.0  # time spent on training steps


@dataclass(frozen=True)
class TrainingState:
    """Content of last.pt.

    Attributes:
        model: Weights.
        optimiser: State of the optimiser.
        scaler: State of the gradient scaler; empty if it is disabled.
        averages: EMA weights, or None.
        history: Rows of the finished epochs.
        data: Identity of the images and partitions; see `Dataset.identity`.
        part: Progress within the current epoch.
        random: States of the random number generators.
        fingerprint: Fingerprint of the run; empty if an earlier version wrote the state.
    """

    model: TorchState
    optimiser: TorchState
    scaler: TorchState
    averages: TorchState | None
    history: list[HistoryRow]
    data: str
    part: Progress
    random: RandomState
    fingerprint: str = ""


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state from which training resumes to last.pt, followed by its checksum."""
    plain: dict[str, Any] = {"history": [asdict(row) for row in state.history]}
    plain |= {"part": asdict(state.part), "random": vars(state.random)}
    content = io.BytesIO()  # torch.save to a file would hide why it cannot be written
    torch.save(vars(state) | plain, content)
    content.write(_seal(content.getbuffer()))
    with atomic_write(folder / LAST) as temporary:
        temporary.write_bytes(content.getbuffer())


def _seal(content: bytes | memoryview) -> bytes:
    return SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"


def load_state(folder: Path, fingerprint: str = "") -> TrainingState | None:
    """Return the state that `save_state` wrote, or None if there is no last.pt.

    Args:
        folder: Folder `checkpoints` of a run.
        fingerprint: Fingerprint of the run that the state must belong to; empty for any run. If it
            is set, the best weights so far are verified too.

    Raises:
        InputError: If the file is damaged, or belongs to another run.
    """
    path = folder / LAST
    if not is_there(path):
        return None
    try:
        state = _state_of(read_file(path))
    except Exception as error:  # torch raises many types, depending on the damage
        if ran_out_of_memory(error):
            raise
        raise DamagedError(f"{path}: is damaged; delete it {AGAIN} ({str(error)[:80]})") from error
    if fingerprint and state.fingerprint not in ("", fingerprint):
        raise InputError(
            f"{path}: belongs to another run (fingerprint {state.fingerprint}, but this run has "
            f"{fingerprint}); delete it {AGAIN}"
        )
    if fingerprint and state.history:
        verify_checkpoint(folder, fingerprint)
    return state


def _state_of(content: bytes) -> TrainingState:
    """Return the state in the content of last.pt.

    Raises:
        ValueError: If its checksum is wrong or missing. A file of an earlier version, without a
            fingerprint, needs none.
    """
    size = len(_seal(b""))
    is_sealed = content[-size:].startswith(SEAL)
    if is_sealed and content[-size:] != _seal(memoryview(content)[:-size]):
        raise ValueError("its checksum does not match its content")
    found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if "fingerprint" in found and not is_sealed:
        raise ValueError("it has no checksum")
    typed: dict[str, Any] = {"history": [HistoryRow(**row) for row in found["history"]]}
    typed |= {"part": Progress(**found["part"]), "random": RandomState(**found["random"])}
    return TrainingState(**found | typed)
