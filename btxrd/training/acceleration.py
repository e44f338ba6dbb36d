"""Speed up training steps: memory layout, precision by layer, compilation."""

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

# Number of training images of 224 px from which compilation pays off. On the CPU it is per core,
# with a margin of two: on two cores, compiling ResNet-50-CBAM takes 27 s and saves 30 ms per image.
# The value for CUDA is an estimate and was not measured.
BREAK_EVEN_IMAGES_CPU, BREAK_EVEN_IMAGES_CUDA = 1_000, 600_000

SECOND_DERIVATIVE = (
    "the loss on Grad-CAM needs a second derivative, which torch.compile does not support"
)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def to_device(model: M, device: torch.device) -> M:
    """Move a model to the device, with channels last, in which convolutions are fastest."""
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        keep_freed_memory()
        for layer in _depthwise(model):
            _keep_in_float32(layer)  # the gradient is slow in bfloat16 (oneDNN as of torch 2.14)
    return model


def keep_freed_memory(keep: bool = True) -> None:
    """Make the allocator of glibc keep freed memory; other allocators are not affected.

    By default, and with `keep=False`, glibc returns the memory of each large tensor to the system.
    Clearing the new pages of the next tensor takes about a quarter of the time of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30 if keep else 2**17)
        mallopt(M_TRIM_THRESHOLD, -1 if keep else 2**17)


def _depthwise(model: nn.Module) -> list[nn.Conv2d]:
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    return [layer for layer in convolutions if layer.groups == layer.in_channels > 1]


def _keep_in_float32(layer: nn.Module) -> None:
    """Exclude a layer from autocast, so that it computes in float32."""
    plain = layer.forward

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            found: Tensor = plain(images.float())
            return found

    layer.forward = forward


def compile_if_worthwhile(
    model: BTXRDClassifier, wanted: str, images: int, size: int, *, twice: bool = False
) -> bool:
    """Compile the parts of a model that gain from it, if the training is long enough.

    On a CPU, these parts are the attention modules in the blocks of a ResNet: compiled, they read
    the memory once instead of several times. Convolutions are faster in oneDNN. On CUDA, the whole
    network is compiled. The decision is logged.

    The decision depends on the config and the machine, but on no measured time. A compiled network
    rounds differently, so a decision by time could change the results of a repeated run.

    Args:
        model: Model on its device; compiled in place.
        wanted: `auto`, `always` or `never`.
        images: Smallest number of images that the whole training will process.
        size: Height and width of an image in pixels.
        twice: Whether the loss needs a second derivative, as the loss on Grad-CAM does.

    Returns:
        Whether anything was compiled.

    Raises:
        InputError: If `wanted` is `always` and compilation is not possible.
    """
    on_cpu = model.device.type == "cpu"
    parts: list[nn.Module] = model.attention if on_cpu else [model]
    if wanted == "always":
        parts, reason = parts or [model], None
    else:
        reason = _reason_against(parts, wanted, images, size, model.device)
    if reason is None:
        is_bound = twice and model in parts
        reason = SECOND_DERIVATIVE if is_bound else _compile_error(model.device)
        if reason is not None and wanted == "always":
            raise InputError(f"compile=always: {reason}")
    if reason is not None:
        log.info("torch.compile not used: %s", reason)
        return False
    what = "the network" if model in parts else "the attention modules"
    log.info("torch.compile used for %s: at least %d training images in total", what, images)
    for part in parts:
        if part is not model:
            _keep_in_float32(part)  # the compiled gradient is NaN in bfloat16 (torch 2.14)
        part.compile(dynamic=False)
    return True


def _reason_against(
    parts: list[nn.Module], wanted: str, images: int, size: int, device: torch.device
) -> str | None:
    if wanted == "never":
        return "compile=never"
    if device.type not in ("cpu", "cuda"):
        return f"no gain is known on {device.type}"
    if not parts:
        return "on a CPU, it speeds up only attention modules in the blocks of a ResNet"
    on_cuda = device.type == "cuda"
    needed = BREAK_EVEN_IMAGES_CUDA if on_cuda else BREAK_EVEN_IMAGES_CPU * cores()
    needed = round(needed * (224 / size) ** 2)
    if images < needed:
        return f"{images} training images at {size} px in total; compiling pays off from {needed}"
    return None


def _compile_error(device: torch.device) -> str | None:
    """Compile a small function. Return why it fails, or None if it works."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # the type depends on what is missing: compiler, headers, Triton
        lines = str(error).splitlines() or [type(error).__name__]
        return f"torch.compile does not work here ({lines[0]})"
    return None
