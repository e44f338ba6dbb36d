"""Define BTXRDClassifier: a timm backbone, and the layer that Grad-CAM uses."""

import math
from pathlib import Path
from typing import Any

import torch
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from btxrd.data.batches import Normalisation
from btxrd.errors import InputError
from btxrd.model.layers import feature_stages, finer_layer, last_spatial_layer
from btxrd.model.pooling import LesionPooling
from btxrd.model.pretrained import create_backbone


class BTXRDClassifier(nn.Module):
    """A timm backbone with one raw logit per class.

    Attributes:
        arguments: Arguments of the constructor, without those on the initial weights.
            `BTXRDClassifier(**arguments, pretrained=False)` has the same layers.
        initial: Source of the initial weights.
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
            backbone: Name of a timm model.
            num_classes: Number of logits.
            pretrained: Whether to start from pretrained weights.
            drop_rate: Dropout probability before the last layer.
            weights: Local file with the pretrained weights. If None, they come from a Python
                package or from timm's hub.
            gradcam_layer: Dotted name of a layer of the backbone for Grad-CAM. If None, it is
                chosen by the family of the backbone.
            lesion_map: Whether to predict a lesion map, by a 1 x 1 convolution on the last features
                of stride 16 or less.
            pooling: `backbone`: pooling of the backbone; `lesion`: see `LesionPooling`, which has
                its own lesion map, of stride 8 if the backbone has such features.
            test_flip: Whether probabilities are averaged over an image and its mirror image.
            kwargs: Further arguments of `timm.create_model`. `block_args` is passed to the blocks
                of a ResNet.

        Raises:
            InputError: If the backbone is unknown, or the weights cannot be found or used.
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
            # timm initialises the head of an EfficientNet within +-1/sqrt(num_classes). With 3
            # classes, the logits would be about +-10.
            head.reset_parameters()
        self._gradcam_layer, self.test_flip = gradcam_layer, test_flip
        self.lesion_head: nn.Module | None = None
        if pooling == "lesion":
            stages = feature_stages(self.backbone, backbone, strides=(8, 16))
            scales = [*stages.values(), int(self.backbone.num_features)]  # type: ignore[arg-type]
            self.lesion_head = LesionPooling(scales, num_classes, drop_rate)
        elif lesion_map:
            stages = feature_stages(self.backbone, backbone, strides=(16,))
            (channels,) = stages.values()
            self.lesion_head = nn.Conv2d(channels, 1, 1)
        self._stages = [] if self.lesion_head is None else list(stages)
        expects = resolve_model_data_config(self.backbone)
        planes = expects["input_size"][0]
        self.normalisation = Normalisation(expects["mean"][:planes], expects["std"][:planes])

    def forward(self, images: Tensor, *, with_lesions: bool = False) -> Any:
        """Compute the logits.

        Args:
            images: (B, C, H, W) float32, normalised.
            with_lesions: Whether to return the logits of the lesion map too.

        Returns:
            Logits (B, num_classes). In training mode, lesion pooling returns those of its two
            heads, (2, B, num_classes); their mean is the prediction. With `with_lesions`, a pair of
            these and the logits (B, 1, h, w) of the lesion map.

        Raises:
            ValueError: If `with_lesions` is set without `lesion_map` or `pooling="lesion"`.
        """
        if with_lesions and self.lesion_head is None:
            raise ValueError("this model has no lesion map: lesion_map=False, pooling='backbone'")
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
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def attention(self) -> list[nn.Module]:
        """Attention modules that `block_args` adds to the blocks of a ResNet."""
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
        """Layer whose output Grad-CAM uses; by default the last one with spatial locations.

        Raises:
            InputError: If no layer is known for the backbone, or the named one does not exist.
        """
        if self._weighted_features is not None:
            return self._weighted_features
        name = self._gradcam_layer or last_spatial_layer(self.backbone)
        if name is None:
            tops = ", ".join(child for child, _ in self.backbone.named_children())
            raise InputError(
                f"model.gradcam_layer: must be set for {self.arguments['backbone']}; name a layer "
                f"whose output has height and width, inside one of {tops}"
            )
        try:
            return self.backbone.get_submodule(name)
        except AttributeError as error:
            raise InputError(
                f"model.gradcam_layer={name}: {self.arguments['backbone']} has no such layer"
            ) from error

    def refine_gradcam(self, image_size: int) -> None:
        """Choose an earlier layer if the map of the last one would be too small.

        The map must have at least 7 locations along each side: a last layer of stride 32 is
        kept from 193 pixels. A layer that was set by name is always kept.
        """
        if self._gradcam_layer is None and self._weighted_features is None:
            name = finer_layer(self.backbone, image_size)
            self._gradcam_layer = self.arguments["gradcam_layer"] = name

    def gradcam_activation(self, activation: Tensor) -> Tensor:
        """Convert the output of `gradcam_target_layer` to the shape (B, C, H, W)."""
        return self._spatial(activation) if self._weighted_features is None else activation

    def _spatial(self, activation: Tensor) -> Tensor:
        """Convert the output of a layer of the backbone, such as tokens or NHWC, to (B, C, H, W).

        Raises:
            ValueError: If the output has no spatial locations.
        """
        if not isinstance(activation, Tensor):
            raise ValueError(f"its output is a {type(activation).__name__}")
        if activation.ndim == 4:
            keeps_nhwc = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
            return activation.permute(0, 3, 1, 2) if keeps_nhwc else activation
        if activation.ndim != 3:
            raise ValueError(f"its output has the shape {tuple(activation.shape)}")
        prefix = getattr(self.backbone, "num_prefix_tokens", 0)
        for tokens in (activation[:, prefix:], activation):  # some families add prefix tokens later
            side = math.isqrt(tokens.shape[1])
            if side and side * side == tokens.shape[1]:
                return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
        raise ValueError(f"its {activation.shape[1]} tokens do not form a square")
