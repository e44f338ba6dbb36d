"""Compute Grad-CAM and lesion maps of images, and score their localisation of lesions."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.errors import InputError, ran_out_of_memory
from btxrd.evaluation.inference import views
from btxrd.evaluation.localisation import EMPTY, OF_OTHERS, OK, SATURATED, SCORES
from btxrd.model.classifier import BTXRDClassifier

Map = npt.NDArray[np.float32]
Masks = list[npt.NDArray[np.uint8]]
FLAT = 0.9  # a map is saturated if a larger share of it is above half of its maximum
SMALL = 64  # pixels along each side of maps that are compared with lesions of other images


class _RawGradCAM(GradCAM):  # type: ignore[misc]
    """Grad-CAM that stores the unscaled map.

    The grad-cam package subtracts the minimum of a map, so a flat map would become empty.
    """

    def get_cam_image(self, *args: Any, **kwargs: Any) -> npt.NDArray[np.float32]:
        self.raw = np.asarray(super().get_cam_image(*args, **kwargs), np.float32)
        return self.raw


def gradcam_maps(
    model: BTXRDClassifier,
    pixels: Pixels,
    rows: npt.NDArray[np.intp],
    targets: npt.NDArray[np.intp],
) -> Iterator[Map]:
    """Compute the Grad-CAM map of a class for each image, one at a time (Selvaraju et al. 2017).

    With test-time augmentation, the map is the mean over the image and its mirror image.

    Args:
        model: Model in evaluation mode.
        pixels: (n, S, S) uint8, all images.
        rows: Rows of the images to map.
        targets: (len(rows),) label of the class to map in each of them.

    Yields:
        (S, S) float32 in [0, 1], scaled by the largest value of the map. A map without a positive
        value is all 0.

    Raises:
        InputError: If the Grad-CAM layer has no output with height and width.
    """
    layer = model.gradcam_target_layer
    remaining = (ClassifierOutputTarget(int(target)) for target in targets)
    with (
        _graph_from(layer, model),
        _RawGradCAM(model, [layer], reshape_transform=model.gradcam_activation) as cam,
    ):
        for images in evaluation_batches(pixels, rows, model.normalisation, device=model.device):
            wanted, raws = [next(remaining) for _ in images], []
            try:
                for view in views(model, images):
                    cam(input_tensor=view, targets=wanted)
                    raws.append(np.maximum(cam.raw, 0))
            except (AttributeError, IndexError, RuntimeError, ValueError, TypeError) as error:
                if ran_out_of_memory(error):
                    raise
                raise InputError(
                    f"model.gradcam_layer: {type(layer).__name__} of {model.arguments['backbone']} "
                    f"gives no map ({error}); name a layer whose output keeps height and width"
                ) from error
            for raw in _mean_of_views(raws):
                yield _scaled(raw, pixels.shape[1])


@contextmanager
def _graph_from(layer: nn.Module, model: nn.Module) -> Iterator[None]:
    """Limit backpropagation to the part of the model after `layer`, which suffices for a map."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hook = layer.register_forward_hook(
        lambda _, __, output: output.detach().requires_grad_().clone()
    )
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        hook.remove()
        for parameter in learned:
            parameter.requires_grad_(True)


@torch.inference_mode()
def lesion_maps(
    model: BTXRDClassifier, pixels: Pixels, rows: npt.NDArray[np.intp]
) -> Iterator[Map]:
    """Predict the lesion map of each image, one at a time.

    Args:
        model: Model in evaluation mode, with a lesion head.
        pixels: (n, S, S) uint8, all images.
        rows: Rows of the images to map.

    Yields:
        (h, w) float32 probability of the lesion at each spatial location.
    """
    for images in evaluation_batches(pixels, rows, model.normalisation, device=model.device):
        logits = [model(view, with_lesions=True)[1] for view in views(model, images)]
        yield from _mean_of_views(
            [of_view[:, 0].float().sigmoid().cpu().numpy() for of_view in logits]
        )


def _mean_of_views(maps: list[Map]) -> Map:
    """Return the mean of the maps (B, h, w) of `views`; those of mirror images are flipped back."""
    mean: Map = np.mean([maps[0], *(mirrored[..., ::-1] for mirrored in maps[1:])], axis=0)
    return mean


def _scaled(raw: Map, size: int) -> Map:
    positive = cv2.resize(raw.astype(np.float32), (size, size))
    return np.asarray(positive / max(float(positive.max()), 1e-12), dtype=np.float32)


def kind_of(heat: Map) -> str:
    """Return whether a map (S, S) is OK, EMPTY (without a positive value) or SATURATED."""
    if heat.max() <= 0:
        return EMPTY
    return SATURATED if (heat > heat.max() / 2).mean() > FLAT else OK


def score_maps(maps: Iterable[Map], masks: Masks) -> pd.DataFrame:
    """Compute the localisation scores of maps.

    Args:
        maps: n maps (S, S) without negative values; they are consumed one at a time.
        masks: n masks (S, S), 1 on the lesion.

    Returns:
        One row per map, with NaN scores if the map is not OK. `map`: see `kind_of`.
        `lesion_share`: share of the image that the lesion covers. `peak_inside`: whether the
        maximum is on the lesion, as in the pointing game (Zhang et al. 2018). `energy_inside`:
        share of the sum of the map that is on the lesion (Wang et al. 2020). `iou`: intersection
        over union of the lesion and the highest part of the map with the same area. The chance
        level is `lesion_share` for the first two scores and `iou_by_chance` for the third.
        `..._of_others`: mean score of the OK maps of other images on this lesion.
    """
    kinds, scores, small = [], [], []
    for heat, mask in zip(maps, masks, strict=True):
        kinds.append(kind_of(heat))
        scores.append(_score(heat, mask > 0) if kinds[-1] == OK else (np.nan,) * 3)
        small.append(cv2.resize(heat, (SMALL, SMALL)))
    table = pd.DataFrame({"map": kinds, "lesion_share": [float((m > 0).mean()) for m in masks]})
    table["iou_by_chance"] = table["lesion_share"] / (2 - table["lesion_share"])
    table[list(SCORES)] = np.array(scores).reshape(-1, 3)
    table[list(OF_OTHERS.values())] = _of_others(
        np.array(small, np.float32).reshape(-1, SMALL**2), masks, np.array(kinds) == OK
    )
    table["peak_inside"] = table["peak_inside"].astype("Int64")
    return table[["map", "lesion_share", *SCORES, "iou_by_chance", *OF_OTHERS.values()]]


def _score(heat: Map, lesion: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Compute `SCORES` of one map."""
    flat, inside = heat.ravel(), lesion.ravel()
    area = max(1, int(inside.sum()))
    highest = np.argpartition(flat, -area)[-area:]
    highest = highest[flat[highest] > 0]
    both = int(inside[highest].sum())
    iou = both / (area + len(highest) - both)
    return float(inside[flat.argmax()]), float(flat[inside].sum() / flat.sum()), iou


def _of_others(
    small: npt.NDArray[np.float32], masks: Masks, usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Compute the mean `SCORES` (n, 3) of the usable maps of other images on each lesion."""
    found = np.full((len(small), 3), np.nan)
    for row, mask in enumerate(masks):
        lesion = cv2.resize(mask.astype(np.float32), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        others = np.flatnonzero(usable & (np.arange(len(small)) != row))
        found[row] = _mean_score(small[others], lesion.ravel())
    return found


def _mean_score(
    heat: npt.NDArray[np.float32], lesion: npt.NDArray[np.float32]
) -> tuple[float, ...]:
    """Compute the mean `SCORES` of maps (n, pixels) on one lesion.

    Args:
        heat: (n, pixels) values of the maps.
        lesion: (pixels,) share of each pixel that the lesion covers.
    """
    if not len(heat):
        return (np.nan,) * 3
    area = max(1, round(float(lesion.sum())))
    peak = lesion[heat.argmax(axis=1)].mean()
    energy = (heat @ lesion / heat.sum(axis=1)).mean()
    highest = np.argpartition(heat, -area, axis=1)[:, -area:]
    both = (lesion[highest] * (np.take_along_axis(heat, highest, 1) > 0)).sum(axis=1)
    return float(peak), float(energy), float((both / (lesion.sum() + area - both)).mean())
