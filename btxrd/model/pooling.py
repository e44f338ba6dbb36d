"""Lesion pooling: attention pooling over a lesion map, with two classification heads."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 256  # channels that the features of each scale are brought to
SPREAD = 4.0  # about the standard deviation of the map score of a trained model over images


class LesionPooling(nn.Module):
    """Attention pooling over a lesion map, with two classification heads.

    The last features of a backbone are the most specific, but have few spatial locations; finer
    ones have more. Their sum (Lin et al. 2017) is mapped to one lesion logit per location. The
    softmax of these logits over the locations weighs the features (Ilse et al. 2018), so that a
    small lesion counts like a large one. One head classifies the weighted sum.

    The features also depend on the surroundings of a location, which may differ between hospitals.
    So a second head classifies a single scalar, the map score: the log-sum-exp of the logits
    (Pinheiro & Collobert 2015), which the softmax divides away.

    Each head has a loss of its own, and the mean of their logits is the prediction: a product of
    experts (Hinton 2002). With one loss for both, nothing would be left for the map score to learn.
    The map may also be trained on outlines, as the attention of Mitsuhara et al. 2019.

    Attributes:
        weighted: Identity on the weighted features, whose sum is classified, for Grad-CAM.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, drop_rate: float = 0.0) -> None:
        """Set the channels of each scale, the number of logits, and the dropout before them."""
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv2d(count, WIDTH, 1, bias=False) for count in channels)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.lesion = nn.Conv2d(WIDTH, 1, 1)
        self.weighted = nn.Identity()
        self.drop = nn.Dropout(drop_rate)
        self.classify = nn.Linear(WIDTH, num_classes)
        self.classify_strength = nn.Linear(1, num_classes)  # of the map score; named in checkpoints

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Compute class and lesion logits from the features of images, the finest first.

        Args:
            features: (B, C, H, W) for each of the channels, the first with the most locations.

        Returns:
            The logits (2, B, num_classes) of the two heads, and those (B, 1, H, W) of the lesion
            map, at the finest scale.
        """
        scales = zip(self.scales, features, strict=True)
        fused, *coarser = (conv(scale) for conv, scale in scales)
        for scale in coarser:
            fused = fused + functional.interpolate(scale, fused.shape[2:], mode="bilinear")
        fused = self.norm(fused).relu()
        lesions = self.lesion(fused)
        flat = lesions.flatten(2)
        pooled = self.weighted(fused * flat.softmax(2).view_as(lesions)).sum((2, 3))
        map_score = (flat.float().logsumexp(2) - math.log(flat.shape[2])) / SPREAD
        heads = self.classify(self.drop(pooled)), self.classify_strength(map_score)
        return torch.stack(heads), lesions
