"""Random augmentation of training images, on whole batches on the device."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import gaussian_blur

from btxrd.data.constants import CLASSES

ERASED = (0.02, 0.1)  # smallest and largest share of the image that an erased rectangle covers
BLUR_KERNEL = 5  # pixels


class Draws(NamedTuple):
    """Random parameters for a batch of B images.

    Attributes:
        matrices: (B, 2, 3) float32, affine transforms; see `transform`.
        tones: (B, 3) float32, gamma, contrast and brightness.
        boxes: (B, 4) float32, left, top, right and bottom of the erased rectangles, as shares of
            the image.
        blur: Standard deviation of the Gaussian blur in pixels.
        seed: Seed of the random numbers that are drawn on the device.
    """

    matrices: Tensor
    tones: Tensor
    boxes: Tensor
    blur: float
    seed: int

    def to(self, device: torch.device) -> "Draws":
        """Return a copy on a device."""
        matrices, tones, boxes = (of.to(device) for of in (self.matrices, self.tones, self.boxes))
        return self._replace(matrices=matrices, tones=tones, boxes=boxes)


@dataclass(frozen=True)
class Augmentation:
    """Strength of each random change. With all settings at 0, images stay as they are.

    Attributes:
        flip: Flip half of the images left to right.
        rotation: Largest rotation in degrees, in either direction.
        zoom: Images are scaled by a factor between e^-zoom and e^zoom. An enlarged image is
            cropped at a random position, a reduced one is put at a random position.
        aspect: The ratio of height to width changes by a factor between e^-aspect and e^aspect.
        intensity: Gamma and contrast change by factors between e^-intensity and e^intensity, and
            brightness by at most intensity / 4, where white is 1.
        noise: Largest standard deviation of the Gaussian noise, where white is 1.
        blur: Largest standard deviation of the Gaussian blur in pixels. Half of the batches are
            blurred.
        erase: Share of the images in which a random rectangle is black (Zhong et al. 2020).
        mixup: Parameter alpha of mixup (Zhang et al. 2018).
        cutmix: Parameter alpha of CutMix (Yun et al. 2019). If `mixup` is set too, each batch gets
            one of the two at random.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    aspect: float = 0.0
    intensity: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def draw(self, count: int, seed: int) -> Draws:
        """Draw the parameters for `count` images; they depend only on the settings and `seed`."""
        generator = torch.Generator().manual_seed(seed)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        angle = (uniform(count) * 2 - 1) * torch.pi / 180 * self.rotation
        sign = torch.where(uniform(count) < 0.5, -1.0, 1.0)
        if not self.flip:
            sign = torch.ones(count)
        wide = (uniform(count) * 2 - 1) * self.zoom
        high = wide + (uniform(count) * 2 - 1) * self.aspect
        wide, high = wide.exp(), high.exp()
        shift = (uniform(2, count) * 2 - 1) * (1 - torch.stack([wide, high])).abs()
        cos, sin = angle.cos(), angle.sin()
        matrices = torch.stack(
            [
                torch.stack([cos * sign * wide, -sin * high, shift[0]], 1),
                torch.stack([sin * sign * wide, cos * high, shift[1]], 1),
            ],
            1,
        )
        tones = (uniform(count, 3) * 2 - 1) * self.intensity
        tones[:, :2] = tones[:, :2].exp()
        tones[:, 2] /= 4
        area = ERASED[0] + uniform(count) * (ERASED[1] - ERASED[0])
        area = torch.where(uniform(count) < self.erase, area, 0.0)
        sides = area.sqrt() * torch.stack([stretch := (uniform(count) - 0.5).exp(), 1 / stretch])
        corner = uniform(2, count) * (1 - sides)
        boxes = torch.cat([corner, corner + sides]).T
        is_blurred, sigma, on_device = uniform(3).tolist()
        blur = sigma * self.blur if is_blurred < 0.5 else 0.0
        return Draws(matrices, tones, boxes, blur, int(on_device * 2**31))

    def apply(self, planes: Tensor, draws: Draws) -> Tensor:
        """Return the augmented planes.

        Args:
            planes: (B, P, H, W) float32. The first plane is the image, in [0, 1]. The other planes,
                such as masks, get only the affine transform.
            draws: Parameters, as returned by `draw`.
        """
        planes = transform(planes, draws.matrices)
        grey = planes[:, :1]
        if self.intensity > 0:
            gamma, contrast, brightness = draws.tones[:, :, None, None, None].unbind(1)
            grey = grey.clamp(min=1e-6).pow(gamma)
            middle = grey.mean((2, 3), keepdim=True)
            grey = ((grey - middle) * contrast + middle + brightness).clamp(0, 1)
        if draws.blur > 0:
            grey = gaussian_blur(grey, [BLUR_KERNEL, BLUR_KERNEL], [draws.blur, draws.blur])
        if self.noise > 0:
            generator = torch.Generator(grey.device).manual_seed(draws.seed)
            grain = torch.randn(grey.shape, generator=generator, device=grey.device)
            strength = torch.rand((len(grey), 1, 1, 1), generator=generator, device=grey.device)
            grey = (grey + grain * strength * self.noise).clamp(0, 1)
        if self.erase > 0:
            grey = grey * ~_inside(draws.boxes, grey.shape[2:])
        return torch.cat([grey, planes[:, 1:]], 1)

    def mix(self, planes: Tensor, labels: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Mix each image with another one of the batch.

        Args:
            planes: (B, P, H, W) float32.
            labels: (B,) int64.
            draws: Parameters, as returned by `draw`.

        Returns:
            The mixed planes, and (B, classes) float32 class weights; the arguments if neither mixup
            nor CutMix is set.
        """
        methods = [(v2.MixUp, self.mixup), (v2.CutMix, self.cutmix)]
        methods = [(method, alpha) for method, alpha in methods if alpha > 0]
        if not methods:
            return planes, labels
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draws.seed)
            method, alpha = methods[int(torch.randint(len(methods), ()))]
            mixed, soft = method(alpha=alpha, num_classes=len(CLASSES))(planes, labels)
        return mixed, soft


def transform(planes: Tensor, matrices: Tensor) -> Tensor:
    """Resample each image of a batch by an affine transform; areas outside the image are 0.

    Args:
        planes: (B, P, H, W) float32.
        matrices: (B, 2, 3) float32, from output to input coordinates in [-1, 1].
    """
    grid = functional.affine_grid(matrices, list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, align_corners=False)


def _inside(boxes: Tensor, size: torch.Size) -> Tensor:
    """Return (B, 1, H, W) bool: whether the middle of a pixel is in the box (B, 4) of its image."""
    height, width = size
    x = (torch.arange(width, device=boxes.device) + 0.5) / width
    y = (torch.arange(height, device=boxes.device) + 0.5) / height
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    across, down = (x > left) & (x < right), (y > top) & (y < bottom)
    return (down[:, :, None] & across[:, None, :])[:, None]
