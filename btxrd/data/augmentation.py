"""What training images go through at random: on whole batches, on the device."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import gaussian_blur

from btxrd.data.constants import CLASSES

ERASED = (0.02, 0.1)  # of the image, that an erased rectangle covers
BLUR_KERNEL = 5  # pixels


class Draws(NamedTuple):
    """What was drawn for a batch of B images.

    Attributes:
        turns: (B, 2, 3) for `turn`.
        tones: (B, 3) gamma, contrast and brightness.
        boxes: (B, 4) left, top, right and bottom of what is erased, in shares of the image.
        blur: sigma in pixels.
        seed: of what is drawn on the device.
    """

    turns: Tensor
    tones: Tensor
    boxes: Tensor
    blur: float
    seed: int

    def to(self, device: torch.device) -> "Draws":
        """The same on a device."""
        turns, tones, boxes = (part.to(device) for part in (self.turns, self.tones, self.boxes))
        return self._replace(turns=turns, tones=tones, boxes=boxes)


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed at random. Everything at 0 leaves them as they are.

    Attributes:
        flip: left-right, half of the time.
        rotation: at most, in degrees either way.
        zoom: the image is shown larger or smaller by a factor of at most e^zoom, and as much of it
            as is then out of sight moves about: a random crop.
        aspect: height over width changes by a factor of at most e^aspect.
        intensity: gamma and contrast change by a factor of at most e^intensity, and brightness by
            a quarter of it.
        noise: standard deviation of Gaussian noise at most, where white is 1.
        blur: standard deviation of a Gaussian blur at most, in pixels; half of the batches have it.
        erase: share of the images in which a rectangle is black.
        mixup: alpha of mixup (Zhang et al. 2018).
        cutmix: alpha of CutMix (Yun et al. 2019). With both, each batch has one of them.
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
        """Draw for `count` images; the same seed gives the same."""
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
        turns = torch.stack(
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
        return Draws(turns, tones, boxes, blur, int(on_device * 2**31))

    def apply(self, planes: Tensor, draws: Draws) -> Tensor:
        """Change images (B, P, H, W) in [0, 1]; further planes move with the first, the image."""
        planes = turn(planes, draws.turns)
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
        """Mix each image with another one: planes (B, P, H, W), and labels (B,) -> (B, classes)."""
        ways = [(v2.MixUp, self.mixup), (v2.CutMix, self.cutmix)]
        ways = [(way, alpha) for way, alpha in ways if alpha > 0]
        if not ways:
            return planes, labels
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draws.seed)
            way, alpha = ways[int(torch.randint(len(ways), ()))]
            mixed, soft = way(alpha=alpha, num_classes=len(CLASSES))(planes, labels)
        return mixed, soft


def turn(planes: Tensor, matrices: Tensor) -> Tensor:
    """Map each image of a batch (B, P, H, W) by its matrix (2, 3); what comes in is black."""
    grid = functional.affine_grid(matrices, list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, align_corners=False)


def _inside(boxes: Tensor, size: torch.Size) -> Tensor:
    """(B, 1, H, W): whether a pixel's middle lies in the image's box (B, 4)."""
    height, width = size
    x = (torch.arange(width, device=boxes.device) + 0.5) / width
    y = (torch.arange(height, device=boxes.device) + 0.5) / height
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    across, down = (x > left) & (x < right), (y > top) & (y < bottom)
    return (down[:, :, None] & across[:, None, :])[:, None]
