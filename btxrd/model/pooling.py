"""Lesion pooling: attention pooling over a lesion map, with two classification heads."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 256  # channels to which the features of each scale are projected
SPREAD = 4.0  # approximate standard deviation of the map score of a trained model over images


class LesionPooling(nn.Module):
    """Attention pooling over a lesion map, with two classification heads.

    The last features of a backbone are the most specific, but have few spatial locations. Finer
    features have more. Features of several scales are projected and added (Lin et al. 2017), and a
    convolution maps the sum to one lesion logit per location. The softmax of these logits over the
    locations weights the features (Ilse et al. 2018), so a small lesion can count as much as a
    large one. One head classifies the weighted sum.

    The features also depend on the surroundings of a location, which may differ between hospitals.
    Therefore a second head classifies a single scalar, the map score: the log-sum-exp of the lesion
    logits (Pinheiro & Collobert 2015). The softmax removes this value from the features.

    Each head has its own loss, so that both are trained. The mean of their logits is the
    prediction, a product of experts (Hinton 2002). The map can also be trained on outlines, as the
    attention of Mitsuhara et al. (2019).

    Attributes:
        weighted: Identity applied to the weighted features before they are summed, for Grad-CAM.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, drop_rate: float = 0.0) -> None:
        """Create the layers.

        Args:
            channels: Number of channels of the features of each scale.
            num_classes: Number of logits of each head.
            drop_rate: Dropout probability before the first head.
        """
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv2d(count, WIDTH, 1, bias=False) for count in channels)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.lesion = nn.Conv2d(WIDTH, 1, 1)
        self.weighted = nn.Identity()
        self.drop = nn.Dropout(drop_rate)
        self.classify = nn.Linear(WIDTH, num_classes)
        # The head on the map score. The name is part of existing checkpoints.
        self.classify_strength = nn.Linear(1, num_classes)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Compute class and lesion logits.

        Args:
            features: (B, C, h, w) float, features of each scale, the finest first.

        Returns:
            Logits (2, B, num_classes) of the two heads, and lesion logits (B, 1, H, W) at the
            finest scale.
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
