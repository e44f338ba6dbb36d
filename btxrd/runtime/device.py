"""The device of a run, its precision, and reproducible computation."""

import os
from contextlib import AbstractContextManager

import torch
from torch.utils import deterministic

from btxrd.errors import InputError


def choose_device(wanted: str) -> torch.device:
    """Return the device of that name. `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        InputError: If torch does not find the device.
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
        raise InputError(f"device={wanted}: torch does not find this device; choose from {have}")
    return torch.device(wanted)


def describe(device: torch.device) -> str:
    """Return a description of the device, such as `cpu (AMD EPYC, 2 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        name = torch.cpu.get_capabilities().get("cpu_name", "unknown")
        return f"cpu ({name}, {torch.get_num_threads()} threads)"
    return device.type


def precision(device: torch.device) -> torch.dtype:
    """Return the training precision: bfloat16 if the hardware has it, or else float16 on GPUs."""
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bf16 else torch.float16
    known = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    fast = any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which torch computes in the `precision` of the device."""
    dtype = precision(device)
    context: AbstractContextManager[None] = torch.autocast(
        device.type, dtype=dtype, enabled=dtype is not torch.float32
    )
    return context


def make_reproducible(seed: int) -> None:
    """Seed torch and choose deterministic algorithms. Torch warns if it has none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first call of cuBLAS
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # evaluation needs full float32
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new memory would take a tenth of the time and change no result.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
