"""Pooling where the lesion is: the class is read from the places that a lesion map is high at."""

from torch import Tensor, nn
from torch.nn import functional

WIDTH = 256  # channels that the coarse and the fine features are brought to


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

    def __init__(self, coarse: int, fine: int, num_classes: int, drop_rate: float = 0.0) -> None:
        """Take the channels of the features, how many logits to give, and dropout before them."""
        super().__init__()
        self.coarse = nn.Conv2d(coarse, WIDTH, 1, bias=False)
        self.fine = nn.Conv2d(fine, WIDTH, 1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.lesion = nn.Conv2d(WIDTH, 1, 1)
        self.weighted = nn.Identity()
        self.drop = nn.Dropout(drop_rate)
        self.classify = nn.Linear(WIDTH, num_classes)

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, coarse, h, w) and (B, fine, H, W) -> logits (B, num_classes), (B, 1, H, W).

        The second are those of the lesion map.
        """
        fine = self.fine(fine)
        coarse = functional.interpolate(self.coarse(coarse), fine.shape[2:], mode="bilinear")
        features = self.norm(coarse + fine).relu()
        lesions = self.lesion(features)
        attention = lesions.flatten(2).softmax(2).view_as(lesions)
        pooled = self.weighted(features * attention).sum((2, 3))
        return self.classify(self.drop(pooled)), lesions
