"""create_model: the function that Hydra instantiates."""

from pathlib import Path
from typing import Any

from btxrd.errors import InputError
from btxrd.model.classifier import BTXRDClassifier
from btxrd.model.fit import explain_size
from btxrd.model.names import check_name, is_built_for_one_size
from btxrd.model.pretrained import UnbuildableError


def create_model(
    *,
    backbone: str,
    num_classes: int,
    pretrained: bool = True,
    weights: str | None = None,
    dropout: float = 0.0,
    attn_layer: str | None = None,
    image_size: int = 224,
    gradcam_layer: str | None = None,
    lesion_map: bool = False,
    pooling: str = "backbone",
    test_flip: bool = False,
) -> BTXRDClassifier:
    """Build a classifier from the `model` group of a config.

    Args:
        backbone: a timm model name.
        num_classes: logits.
        pretrained: start from ImageNet weights.
        weights: a local file to take them from.
        dropout: before the last layer.
        attn_layer: timm's name of an attention module for each block of a ResNet, such as `cbam`.
        image_size: height and width in pixels; told to backbones that are built for one size.
        gradcam_layer: dotted name in the backbone; None: chosen by family and image size.
        lesion_map: also map where the lesion is.
        pooling: `backbone`, or `lesion`: where the model sees one.
        test_flip: score an image with its mirror image.

    Raises:
        InputError: for values that do not go together.
    """
    check_name(backbone)
    kwargs: dict[str, Any] = {}
    if attn_layer is not None:
        if "resne" not in backbone:
            raise InputError(
                f"model.attn_layer={attn_layer}: {backbone} takes none; only a ResNet does"
            )
        kwargs["block_args"] = {"attn_layer": attn_layer}
    if is_built_for_one_size(backbone):
        kwargs["img_size"] = image_size
    source = None if weights is None else Path(weights)
    settings = {
        "backbone": backbone,
        "num_classes": num_classes,
        "drop_rate": dropout,
        "gradcam_layer": gradcam_layer,
        "lesion_map": lesion_map,
        "pooling": pooling,
        "test_flip": test_flip,
        **kwargs,
    }
    try:
        model = BTXRDClassifier(**settings, pretrained=pretrained, weights=source)
    except UnbuildableError as error:
        raise explain_size(settings, error) if "img_size" in kwargs else error from error
    model.refine_gradcam(image_size)
    return model
