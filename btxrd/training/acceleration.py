"""What makes the steps of a training fast on a device: layout, precision by layer, compiling."""

import ctypes
import logging
import os
from typing import TypeVar

import torch
from torch import Tensor, nn

from btxrd.errors import InputError
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.cores import cores

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)

# Images of 224 px that earn it back to compile. On the CPU by each core, with a margin of two:
# ResNet-50-CBAM takes 27 s, and 30 ms less an image, on two. On CUDA an estimate, not measured.
EARNED_ON_CPU, EARNED_ON_CUDA = 1_000, 600_000

TWICE = "the loss on Grad-CAM differentiates twice, which torch.compile does not support"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def place(model: M, device: torch.device) -> M:
    """Move a model to the device, laid out as its convolutions are fastest."""
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        keep_freed_memory()
        for layer in _depthwise(model):
            _keep_in_float32(layer)  # its gradient is slow in bfloat16 (oneDNN as of torch 2.14)
    return model


def keep_freed_memory(keep: bool = True) -> None:
    """Have glibc's allocator reuse what a step has freed; elsewhere nothing is changed.

    As it starts, it gives each large tensor back to the system, and takes fresh pages for the next:
    a quarter of a step's time goes into clearing them. `keep=False` is how it starts.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30 if keep else 2**17)
        mallopt(M_TRIM_THRESHOLD, -1 if keep else 2**17)


def _depthwise(model: nn.Module) -> list[nn.Conv2d]:
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    return [layer for layer in convolutions if layer.groups == layer.in_channels > 1]


def _keep_in_float32(layer: nn.Module) -> None:
    """Take a layer out of autocast."""
    plain = layer.forward

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            found: Tensor = plain(images.float())
            return found

    layer.forward = forward


def compile_where_earned(
    model: BTXRDClassifier, wanted: str, images: int, size: int, *, twice: bool = False
) -> bool:
    """Compile what is faster compiled, if the training to come is long enough, and say so.

    On a CPU that is the attention inside a ResNet's blocks: its many passes over memory become one.
    Convolutions are not: oneDNN's own are faster than what they become. On CUDA it is the network.

    What is decided follows from the config and the device, never from a clock: a compiled network
    rounds otherwise, and the same seed is to give the same numbers.

    Args:
        model: on its device; compiled in place.
        wanted: `auto`, `always` or `never`.
        images: that the training will see at least.
        size: of an image, height and width in pixels.
        twice: whether the loss holds a gradient at the last layers, as that of Grad-CAM does.

    Returns:
        Whether anything was compiled.

    Raises:
        InputError: where it must be compiled and cannot.
    """
    on_cpu = model.device.type == "cpu"
    parts: list[nn.Module] = model.attention if on_cpu else [model]
    if wanted == "always":
        parts, reason = parts or [model], None
    else:
        reason = _against(parts, wanted, images, size, model.device)
    if reason is None:
        is_bound = twice and model in parts
        reason = TWICE if is_bound else _why_it_does_not_work(model.device)
        if reason is not None and wanted == "always":
            raise InputError(f"compile=always: {reason}")
    if reason is not None:
        log.info("Nothing is compiled: %s", reason)
        return False
    what = "The network" if model in parts else "The attention of the network"
    log.info("%s is compiled, for %d images or more", what, images)
    for part in parts:
        if part is not model:
            _keep_in_float32(part)  # in bfloat16 its compiled gradient is NaN (torch 2.14)
        part.compile(dynamic=False)
    return True


def _against(
    parts: list[nn.Module], wanted: str, images: int, size: int, device: torch.device
) -> str | None:
    if wanted == "never":
        return "compile=never"
    if device.type not in ("cpu", "cuda"):
        return f"no gain is known on {device.type}"
    if not parts:
        return "on a CPU only attention in a ResNet's blocks gains by it"
    on_cuda = device.type == "cuda"
    needed = EARNED_ON_CUDA if on_cuda else EARNED_ON_CPU * cores()
    needed = round(needed * (224 / size) ** 2)
    if images < needed:
        return f"{images} images of {size} px to come would not earn it back, {needed} would"
    return None


def _why_it_does_not_work(device: torch.device) -> str | None:
    """Compile something small; gives the first line of what went wrong."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # no compiler, no headers, no Triton: each has a type of its own
        told = str(error).splitlines() or [type(error).__name__]
        return f"torch.compile does not work here ({told[0]})"
    return None
