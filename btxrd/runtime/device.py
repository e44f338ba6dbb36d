"""The device of a run, its precision, and what makes it reproducible."""

import os
from contextlib import AbstractContextManager

import torch
from torch.utils import deterministic

from btxrd.errors import InputError


def choose_device(wanted: str) -> torch.device:
    """Take the device of that name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: where torch does not see it.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        wanted = next(name for name, is_there in present.items() if is_there)
    if not present[wanted]:
        have = ", ".join(name for name, is_there in present.items() if is_there)
        raise InputError(f"device={wanted}: torch sees no such device here; it sees {have}")
    return torch.device(wanted)


def describe(device: torch.device) -> str:
    """Name the device as a reader would: `cuda (NVIDIA H100)`, `cpu (AMD EPYC, 2 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        name = torch.cpu.get_capabilities().get("cpu_name", "unknown")
        return f"cpu ({name}, {torch.get_num_threads()} threads)"
    return device.type


def precision(device: torch.device) -> torch.dtype:
    """What to train in: bfloat16 where the hardware computes in it, on other GPUs float16."""
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bf16 else torch.float16
    known = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    fast = any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Compute in the `precision` of the device."""
    dtype = precision(device)
    context: AbstractContextManager[None] = torch.autocast(
        device.type, dtype=dtype, enabled=dtype is not torch.float32
    )
    return context


def make_reproducible(seed: int) -> None:
    """Seed torch, and have it compute the same way each time, or warn where it cannot."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first call
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # evaluation is in float32
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would cost a tenth of the time, and change no number.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
