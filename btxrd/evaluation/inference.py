"""A model and films -> probabilities."""

import numpy as np
import numpy.typing as npt
import torch

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.model.classifier import BTXRDClassifier


@torch.inference_mode()
def predict(
    model: BTXRDClassifier, pixels: Pixels, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Score the films of `rows` once each, in float32.

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
    logits = [model(images) for images in batches]
    model.train(was_training)
    probs: npt.NDArray[np.float64] = torch.cat(logits).cpu().double().softmax(dim=1).numpy()
    return probs
