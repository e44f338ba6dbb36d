"""Predict class probabilities from images."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.model.classifier import BTXRDClassifier


@torch.inference_mode()
def predict(
    model: BTXRDClassifier, pixels: Pixels, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Predict each of some images once, in float32; see `views` for test-time augmentation.

    Args:
        model: Model, left in the mode that it was in.
        pixels: (n, S, S) uint8, all images.
        rows: Rows of the images to predict.

    Returns:
        (len(rows), num_classes) float64 probabilities, rows sum to 1.
    """
    was_training = model.training
    model.eval()
    batches = evaluation_batches(pixels, rows, model.normalisation, device=model.device)
    chunks = []
    for images in batches:
        logits = torch.stack([model(view) for view in views(model, images)])
        chunks.append(logits.cpu().double().softmax(dim=2).mean(0))
    model.train(was_training)
    probs: npt.NDArray[np.float64] = torch.cat(chunks).numpy()
    return probs


def views(model: BTXRDClassifier, images: Tensor) -> list[Tensor]:
    """Return a batch, and with test-time augmentation its mirror images."""
    return [images, images.flip(3)] if model.test_flip else [images]
