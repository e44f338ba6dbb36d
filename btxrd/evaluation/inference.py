"""A model and films -> probabilities."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from btxrd.data.batches import Normalisation, Pixels, evaluation_batches


@torch.inference_mode()
def predict(
    model: nn.Module,
    pixels: Pixels,
    rows: npt.NDArray[np.intp],
    normalisation: Normalisation,
    device: torch.device,
) -> npt.NDArray[np.float64]:
    """Score the films of `rows` once each, in float32.

    Returns:
        (n, num_classes) float64 probabilities, rows sum to 1.

    """
    was_training = model.training
    model.eval()
    logits = [
        model(images) for images in evaluation_batches(pixels, rows, normalisation, device=device)
    ]
    model.train(was_training)
    probs: npt.NDArray[np.float64] = torch.cat(logits).cpu().double().softmax(dim=1).numpy()
    return probs
