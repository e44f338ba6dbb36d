"""A model and films -> probabilities."""

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
    """Score the films of `rows` once each, in float32; with their mirror images where it says so.

    Args:
        model: left in the mode it was in.
        pixels: (n, S, S) uint8, of all cases.
        rows: of the films to score.

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
    """What the model scores a batch by: the films, and where it says so their mirror images."""
    return [images, images.flip(3)] if model.test_flip else [images]
