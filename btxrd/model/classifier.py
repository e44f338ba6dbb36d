"""BTXRDClassifier: a timm backbone, and the layer that Grad-CAM uses."""

import math
import re
from pathlib import Path
from typing import Any

import torch
from timm.data import resolve_model_data_config
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from torch import Tensor, nn

from btxrd.data.batches import Normalisation
from btxrd.errors import InputError
from btxrd.model.pooling import LesionPooling
from btxrd.model.pretrained import create_backbone

MAP_SIDE = 7  # places along each side of a Grad-CAM map; the last features have as many at 224 px


class BTXRDClassifier(nn.Module):
    """A timm backbone with one raw logit per class.

    Attributes:
        arguments: Its arguments, except for the initial weights: `BTXRDClassifier(**arguments,
            pretrained=False)` has the same layers.
        initial: Where the weights are from.
        normalisation: Normalisation of the input, from the timm data config of the backbone.
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        pretrained: bool = True,
        drop_rate: float = 0.0,
        *,
        weights: Path | None = None,
        gradcam_layer: str | None = None,
        lesion_map: bool = False,
        pooling: str = "backbone",
        test_flip: bool = False,
        **kwargs: Any,
    ) -> None:
        """Build the backbone.

        Args:
            backbone: a timm model name.
            num_classes: logits.
            pretrained: start from ImageNet weights.
            drop_rate: dropout before the last layer.
            weights: a local file to take the ImageNet weights from.
            gradcam_layer: dotted name in the backbone, for families that are not known here.
            lesion_map: also map where the lesion is, by a 1 x 1 convolution on the last features
                that have a place for every 16 pixels or fewer.
            pooling: `backbone`: as the backbone does; `lesion`: see `LesionPooling`, which has a
                lesion map of its own, of a place for every 8 pixels where there are such features.
            test_flip: its probabilities are the mean of those of an image and of its mirror image.
            kwargs: passed on to `timm.create_model`; `block_args` reaches a ResNet's blocks.

        Raises:
            InputError: for an unknown backbone, or weights that cannot be had.
        """
        super().__init__()
        self.arguments = {
            "backbone": backbone,
            "num_classes": num_classes,
            "drop_rate": drop_rate,
            "gradcam_layer": gradcam_layer,
            "lesion_map": lesion_map,
            "pooling": pooling,
            "test_flip": test_flip,
            **kwargs,
        }
        self.backbone, self.initial = create_backbone(
            backbone,
            pretrained=pretrained,
            weights=weights,
            attention=kwargs.pop("block_args", None),
            num_classes=0 if pooling == "lesion" else num_classes,
            drop_rate=drop_rate,
            **kwargs,
        )
        head = self.backbone.get_classifier()  # type: ignore[operator]
        if isinstance(head, nn.Linear):
            # timm draws an EfficientNet's in +-1/sqrt(num_classes): with 3 classes, logits of +-10.
            head.reset_parameters()
        self._gradcam_layer, self.test_flip = gradcam_layer, test_flip
        self.lesion_head: nn.Module | None = None
        if pooling == "lesion":
            stages = _stages(self.backbone, backbone, strides=(8, 16))
            scales = [*stages.values(), int(self.backbone.num_features)]  # type: ignore[arg-type]
            self.lesion_head = LesionPooling(scales, num_classes, drop_rate)
        elif lesion_map:
            stages = _stages(self.backbone, backbone, strides=(16,))
            (channels,) = stages.values()
            self.lesion_head = nn.Conv2d(channels, 1, 1)
        self._stages = [] if self.lesion_head is None else list(stages)
        expects = resolve_model_data_config(self.backbone)
        planes = expects["input_size"][0]
        self.normalisation = Normalisation(expects["mean"][:planes], expects["std"][:planes])

    def forward(self, images: Tensor, *, with_lesions: bool = False) -> Any:
        """Images (B, C, H, W) float, normalised -> logits (B, num_classes).

        In training, lesion pooling returns the logits (2, B, num_classes) of its two heads; their
        mean is the logits of the model. With `with_lesions`, also the logits (B, 1, h, w) of the
        lesion map.

        Raises:
            ValueError: If `with_lesions` is set without `lesion_map` or `pooling="lesion"`.
        """
        if with_lesions and self.lesion_head is None:
            raise ValueError("this model maps no lesions: lesion_map=False, pooling='backbone'")
        pools = isinstance(self.lesion_head, LesionPooling)
        if self.lesion_head is None or not (with_lesions or pools):
            return self.backbone(images)
        last, stages = self.backbone.forward_intermediates(  # type: ignore[operator]
            images, indices=self._stages, output_fmt="NCHW"
        )
        if pools:
            head_logits, lesions = self.lesion_head([*stages, self._spatial(last)])
            logits = head_logits if self.training else head_logits.mean(0)
        else:
            logits = self.backbone.forward_head(last)  # type: ignore[operator]
            lesions = self.lesion_head(*stages)
        return (logits, lesions) if with_lesions else logits

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def attention(self) -> list[nn.Module]:
        """The attention modules that `block_args` puts into a ResNet's blocks."""
        if "block_args" not in self.arguments:
            return []
        return [layer for name, layer in self.backbone.named_modules() if name.endswith(".se")]

    @property
    def _weighted_features(self) -> nn.Module | None:
        if isinstance(self.lesion_head, LesionPooling) and not self._gradcam_layer:
            return self.lesion_head.weighted
        return None

    @property
    def gradcam_target_layer(self) -> nn.Module:
        """The last layer that still has a place for every part of the image.

        Raises:
            InputError: where no layer is known for the backbone, or the named one is not there.
        """
        if self._weighted_features is not None:
            return self._weighted_features
        name = self._gradcam_layer or _last_spatial_layer(self.backbone)
        if name is None:
            tops = ", ".join(child for child, _ in self.backbone.named_children())
            raise InputError(
                f"model.gradcam_layer: must be named for {self.arguments['backbone']}: a layer "
                f"whose output keeps height and width, inside one of {tops}"
            )
        try:
            return self.backbone.get_submodule(name)
        except AttributeError as error:
            raise InputError(
                f"model.gradcam_layer={name}: {self.arguments['backbone']} has no such layer"
            ) from error

    def refine_gradcam(self, image_size: int) -> None:
        """Look at finer features where those of the last layer have few places for small images.

        A layer that was named stays, and from 193 pixels on a last layer of stride 32 does.
        """
        if self._gradcam_layer is None and self._weighted_features is None:
            name = _finer_layer(self.backbone, image_size)
            self._gradcam_layer = self.arguments["gradcam_layer"] = name

    def gradcam_activation(self, activation: Tensor) -> Tensor:
        """Bring the output of `gradcam_target_layer` to (B, C, H, W)."""
        return self._spatial(activation) if self._weighted_features is None else activation

    def _spatial(self, activation: Tensor) -> Tensor:
        """Bring a backbone layer's output to (B, C, H, W), also where it keeps tokens or NHWC."""
        if not isinstance(activation, Tensor):
            raise ValueError(f"its output is a {type(activation).__name__}")
        if activation.ndim == 4:
            keeps_nhwc = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
            return activation.permute(0, 3, 1, 2) if keeps_nhwc else activation
        if activation.ndim != 3:
            raise ValueError(f"its output has the shape {tuple(activation.shape)}")
        prefix = getattr(self.backbone, "num_prefix_tokens", 0)
        for tokens in (activation[:, prefix:], activation):  # some families add them last
            side = math.isqrt(tokens.shape[1])
            if side and side * side == tokens.shape[1]:
                return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
        raise ValueError(f"its {activation.shape[1]} tokens are no square")


def _stages(backbone: nn.Module, name: str, strides: tuple[int, ...]) -> dict[int, int]:
    """Find the last of timm's feature stages up to each stride, and give its channels by index.

    Raises:
        InputError: where there is none of stride 16 or less.
    """
    stages = getattr(backbone, "feature_info", None)
    if not hasattr(backbone, "forward_intermediates") or not stages:
        raise InputError(f"model.backbone={name}: timm gives no features to map lesions from")
    stages = list(stages) if isinstance(stages, list) else stages.get_dicts()
    found = {}
    for stride in strides:
        upto = [index for index, stage in enumerate(stages) if stage["reduction"] <= stride]
        if upto:
            found[upto[-1]] = int(stages[upto[-1]]["num_chs"])
    if not found:
        raise InputError(
            f"model.backbone={name}: has no features of stride 16 or less to map lesions from"
        )
    return found


def _finer_layer(backbone: nn.Module, image_size: int) -> str | None:
    """Name the last stage of at least MAP_SIDE places a side, if the last of all has fewer."""
    stages = getattr(backbone, "feature_info", None) or []
    stages = stages.get_dicts() if hasattr(stages, "get_dicts") else stages
    sides = [math.ceil(image_size / stage["reduction"]) for stage in stages]
    fine = [number for number, side in enumerate(sides) if side >= MAP_SIDE]
    if not fine or fine[-1] == len(sides) - 1:
        return None
    name: str = stages[fine[-1]]["module"]
    return name if name in dict(backbone.named_modules()) else None


def _last_spatial_layer(backbone: nn.Module) -> str | None:
    """Name the layer: by family, else from timm's own list of a backbone's feature stages."""
    if isinstance(backbone, EfficientNet):
        return "bn2"
    names = [name for name, _ in backbone.named_modules()]
    if isinstance(backbone, ResNet):
        return f"layer4.{len(backbone.layer4) - 1}"
    if hasattr(backbone, "num_prefix_tokens"):
        # After the last block only the class token is read, so its input is the last to matter.
        inputs = [name for name in names if re.fullmatch(r"blocks\.\d+\.norm1", name)]
        return inputs[-1] if inputs else None
    stages = getattr(backbone, "feature_info", None)
    if not stages:
        return None
    name: str = (stages.get_dicts() if hasattr(stages, "get_dicts") else stages)[-1]["module"]
    return name if name in names else None
