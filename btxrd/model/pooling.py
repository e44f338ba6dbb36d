"""Pooling where the lesion is: the class is read from the places that a lesion map is high at."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

WIDTH = 256  # channels that the features of each scale are brought to


class LesionPooling(nn.Module):
    """A lesion map, and the classes of the features that it points at.

    The last features of a backbone know much and have few places; finer ones have more. Their sum
    (Lin et al. 2017) is mapped to one lesion logit a place, and the softmax of these over the
    places weighs the features (Ilse et al. 2018), so that a small lesion counts like a large one.
    The map may be taught by outlines, as the attention branch of Mitsuhara et al. 2019.

    Attributes:
        weighted: hands on the weighted features, whose sum is classified: for Grad-CAM, all that a
            class rests on passes there.
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

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Read class and lesion from the features of an image, the finest first.

        Args:
            features: (B, C, H, W) for each of the channels, the first with the most places.

        Returns:
            Logits (B, num_classes), and those (B, 1, H, W) of the lesion map, at the finest scale.
        """
        scales = zip(self.scales, features, strict=True)
        fused, *coarser = (conv(scale) for conv, scale in scales)
        for scale in coarser:
            fused = fused + functional.interpolate(scale, fused.shape[2:], mode="bilinear")
        fused = self.norm(fused).relu()
        lesions = self.lesion(fused)
        attention = lesions.flatten(2).softmax(2).view_as(lesions)
        pooled = self.weighted(fused * attention).sum((2, 3))
        return self.classify(self.drop(pooled)), lesions
