"""Draw the geometry of a synthetic limb and its lesion at random.

Lengths are in units of the image height, so images of different sizes show the same limb.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

CORNERS = 36  # of an outline


@dataclass(frozen=True)
class Limb:
    """A bone from the top of the image to a joint, with a thinner bone beside it if `paired`."""

    radius: float  # of the shaft
    flare: float  # widening of the end, in shaft radii
    joint: float  # distance of the end of the bone from the top
    tilt: float  # slope of the axis
    bow: float  # largest sideways bend of the axis
    offset: float  # distance of the axis from the middle of the image
    paired: bool
    cortex: float  # inner radius divided by outer radius

    @classmethod
    def draw(cls, rng: np.random.Generator, *, paired: bool) -> Self:
        """Draw a limb at random."""
        return cls(
            radius=rng.uniform(0.075, 0.1) * (0.8 if paired else 1.0),
            flare=rng.uniform(0.4, 0.7),
            joint=rng.uniform(0.72, 0.88),
            tilt=rng.uniform(-0.1, 0.1),
            bow=rng.uniform(-0.03, 0.03),
            offset=rng.uniform(-0.04, 0.04),
            paired=paired,
            cortex=rng.uniform(0.62, 0.75),
        )

    def turned(self, view: int, rng: np.random.Generator) -> Self:
        """Return the limb in another projection: 0 frontal, 1 lateral, 2 oblique."""
        return replace(
            self,
            flare=self.flare * (1.0, 0.7, 0.85)[view],
            tilt=self.tilt + rng.uniform(-0.05, 0.05),
            offset=self.offset + rng.uniform(-0.03, 0.03),
            joint=self.joint + rng.uniform(-0.03, 0.03),
            bow=self.bow * (1.0, -1.5, 0.5)[view],
        )


@dataclass(frozen=True)
class Lesion:
    """A tumour at the end of the main bone."""

    kind: str  # subtype, as in the table of BTXRD
    above: float  # distance of its middle from the joint
    aside: float  # distance of its middle from the axis, in local bone radii
    radius: float
    waves: tuple[tuple[int, float, float], ...]  # order, size and phase of bumps of its edge
    texture: int  # seed of its texture, equal in all views

    @classmethod
    def draw(cls, rng: np.random.Generator, limb: Limb, kind: str) -> Self:
        """Draw a lesion of a subtype at random."""
        malignant = kind in ("osteosarcoma", "other mt")
        side = float(rng.choice((-1.0, 1.0)))
        roughness = 0.14 if malignant else 0.05
        waves = tuple(
            (order, rng.uniform(0, roughness), rng.uniform(0, 2 * np.pi)) for order in range(2, 7)
        )
        scale = rng.uniform(1.6, 2.2) if malignant else rng.uniform(1.2, 1.7)
        aside = rng.uniform(0.2, 0.7) * side if malignant else rng.uniform(0, 0.3) * side
        if kind == "osteochondroma":
            aside, scale = 1.4 * side, rng.uniform(1.1, 1.4)
        return cls(
            kind=kind,
            above=rng.uniform(0.12, 0.42),
            aside=aside,
            radius=limb.radius * scale,
            waves=waves,
            texture=int(rng.integers(2**31)),
        )

    def turned(self, view: int, rng: np.random.Generator) -> Self:
        """Return the lesion in another projection; see `Limb.turned`."""
        return replace(
            self,
            aside=self.aside * (1.0, 0.8, -0.9)[view],
            radius=self.radius * rng.uniform(0.92, 1.08),
        )

    def edge(self, angle: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return the distance of the edge from the middle of the lesion at angles in radians."""
        wave = sum(size * np.cos(order * angle + phase) for order, size, phase in self.waves)
        return np.asarray(self.radius * (1 + wave))


def bone_axis(y: npt.NDArray[np.floating], limb: Limb, ratio: float) -> npt.NDArray[np.floating]:
    """Return x of the axis of the main bone at height `y`; `ratio` is width over height."""
    return np.asarray(
        ratio / 2 + limb.offset + limb.tilt * (y - 0.5) + limb.bow * np.sin(np.pi * y)
    )


def half_width(y: npt.NDArray[np.floating], limb: Limb, radius: float) -> npt.NDArray[np.floating]:
    """Return half the width of a bone at height `y`: a shaft that widens to a rounded end."""
    left = np.clip(limb.joint - y, 0, None)
    flared = radius * (1 + limb.flare * np.exp(-((left / 0.14) ** 1.6)))
    return np.asarray(flared * np.clip(left / 0.05, 0, 1) ** 0.3)


def lesion_middle(limb: Limb, lesion: Lesion, ratio: float) -> tuple[float, float]:
    """Return y and x of the middle of a lesion."""
    y = np.array(limb.joint - lesion.above)
    x = bone_axis(y, limb, ratio) + lesion.aside * half_width(y, limb, limb.radius)
    return float(y), float(x)


def outline(height: int, width: int, limb: Limb, lesion: Lesion) -> npt.NDArray[np.float64]:
    """Return the outline of a lesion in such an image: (CORNERS, 2) float64, x and y in pixels.

    Corners outside the image are moved to its border.
    """
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    cy, cx = lesion_middle(limb, lesion, width / height)
    reach = lesion.edge(angle) * height
    points = np.stack([cx * height + reach * np.cos(angle), cy * height + reach * np.sin(angle)], 1)
    return np.clip(points, 0, (width - 1, height - 1))
