"""Define `create_model`, which Hydra instantiates from the `model` group of a config."""

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
        backbone: Name of a timm model.
        num_classes: Number of logits.
        pretrained: Whether to start from pretrained weights.
        weights: Local file with the pretrained weights.
        dropout: Dropout probability before the last layer.
        attn_layer: timm's name of an attention module for the blocks of a ResNet, such as `cbam`.
        image_size: Height and width of the images in pixels.
        gradcam_layer: Dotted name of a layer of the backbone for Grad-CAM. If None, it is chosen by
            the family of the backbone and the image size.
        lesion_map: Whether the model predicts a lesion map.
        pooling: `backbone`: pooling of the backbone; `lesion`: attention pooling over a lesion map.
        test_flip: Whether probabilities are averaged over an image and its mirror image.

    Raises:
        InputError: If the values are not valid, or do not fit together.
    """
    check_name(backbone)
    kwargs: dict[str, Any] = {}
    if attn_layer is not None:
        if "resne" not in backbone:
            raise InputError(
                f"model.attn_layer={attn_layer}: {backbone} takes none; set it for a ResNet only"
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
