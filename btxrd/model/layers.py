"""Find the layers of a timm backbone that lesion maps and Grad-CAM use."""

import math
import re

from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from torch import nn

from btxrd.errors import InputError

MAP_SIDE = 7  # smallest side of a Grad-CAM map; last features of stride 32 have it at 224 px


def feature_stages(backbone: nn.Module, name: str, strides: tuple[int, ...]) -> dict[int, int]:
    """Find the last feature stage (of timm) up to each stride; return its channels by its index.

    Raises:
        InputError: If there is no stage up to the largest stride.
    """
    stages = getattr(backbone, "feature_info", None)
    if not hasattr(backbone, "forward_intermediates") or not stages:
        raise InputError(
            f"model.backbone={name}: timm returns no features for a lesion map; choose another"
        )
    stages = list(stages) if isinstance(stages, list) else stages.get_dicts()
    found = {}
    for stride in strides:
        upto = [index for index, stage in enumerate(stages) if stage["reduction"] <= stride]
        if upto:
            found[upto[-1]] = int(stages[upto[-1]]["num_chs"])
    if not found:
        raise InputError(
            f"model.backbone={name}: has no features of stride 16 or less for a lesion map; "
            "choose another"
        )
    return found


def finer_layer(backbone: nn.Module, image_size: int) -> str | None:
    """Return the layer of the last stage with MAP_SIDE locations per side.

    Return None if the very last stage has as many, or no stage has.
    """
    stages = getattr(backbone, "feature_info", None) or []
    stages = stages.get_dicts() if hasattr(stages, "get_dicts") else stages
    sides = [math.ceil(image_size / stage["reduction"]) for stage in stages]
    fine = [number for number, side in enumerate(sides) if side >= MAP_SIDE]
    if not fine or fine[-1] == len(sides) - 1:
        return None
    name: str = stages[fine[-1]]["module"]
    return name if name in dict(backbone.named_modules()) else None


def last_spatial_layer(backbone: nn.Module) -> str | None:
    """Return the layer for Grad-CAM, by the family of the backbone or from timm's feature stages.

    Return None if no layer is known.
    """
    if isinstance(backbone, EfficientNet):
        return "bn2"
    names = [name for name, _ in backbone.named_modules()]
    if isinstance(backbone, ResNet):
        return f"layer4.{len(backbone.layer4) - 1}"
    if hasattr(backbone, "num_prefix_tokens"):
        # Only the class token is used after the last block, so Grad-CAM needs the block's input.
        inputs = [name for name in names if re.fullmatch(r"blocks\.\d+\.norm1", name)]
        return inputs[-1] if inputs else None
    stages = getattr(backbone, "feature_info", None)
    if not stages:
        return None
    name: str = (stages.get_dicts() if hasattr(stages, "get_dicts") else stages)[-1]["module"]
    return name if name in names else None
