"""Pooling where the lesion is: the class is read from the places that a lesion map is high at."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 256  # channels that the features of each scale are brought to
SPREAD = 4.0  # of a trained map's strength over films: about its standard deviation


class LesionPooling(nn.Module):
    """A lesion map, and two readings of the class: from the features there, and from its strength.

    The last features of a backbone know much and have few places; finer ones have more. Their sum
    (Lin et al. 2017) is mapped to one lesion logit a place. The softmax of these over the places
    weighs the features (Ilse et al. 2018), so that a small lesion counts like a large one. The
    features also know what surrounds a place, and what surrounds lesions at one hospital may not at
    another. So the class is read a second time from one number alone, the map's strength: the
    log-sum-exp of the logits (Pinheiro & Collobert 2015), which the softmax divides away.

    Each reading learns the class by itself, and the mean of their logits counts: their product, as
    of experts (Hinton 2002). Taught together, the features would leave nothing for the strength to
    tell. The map may be taught by outlines too, as the attention of Mitsuhara et al. 2019.

    Attributes:
        weighted: hands on the weighted features, whose sum is classified, for Grad-CAM.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, drop_rate: float = 0.0) -> None:
        """Take the channels of each scale, how many logits to give, and dropout before them."""
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv2d(count, WIDTH, 1, bias=False) for count in channels)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.lesion = nn.Conv2d(WIDTH, 1, 1)
        self.weighted = nn.Identity()
        self.drop = nn.Dropout(drop_rate)
        self.classify = nn.Linear(WIDTH, num_classes)
        self.classify_strength = nn.Linear(1, num_classes)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Read class and lesion from the features of an image, the finest first.

        Args:
            features: (B, C, H, W) for each of the channels, the first with the most places.

        Returns:
            The logits (2, B, num_classes) of the two readings, and those (B, 1, H, W) of the lesion
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
        strength = (flat.float().logsumexp(2) - math.log(flat.shape[2])) / SPREAD
        readings = self.classify(self.drop(pooled)), self.classify_strength(strength)
        return torch.stack(readings), lesions
