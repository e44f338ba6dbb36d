"""Draw a synthetic radiograph: attenuation of tissue, bone and lesion, then a center's style.

Lengths are in units of the image height, so images of different sizes show the same limb.
"""

import cv2
import numpy as np
import numpy.typing as npt

from btxrd.phantom.anatomy import Lesion, Limb, bone_axis, half_width, lesion_middle

Plane = npt.NDArray[np.float32]
LETTERS = ("N", "B", "M")  # by class
PLATE_SIDE = 0.2  # side of an identification plate, in image heights
PLATE, GAP = 0.125, 0.02  # side of the plate of a letter, and its margin, as shares of a side


def draw_image(
    height: int,
    width: int,
    limb: Limb,
    lesion: Lesion | None,
    center: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Draw one image.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        limb: Bones in the image.
        lesion: Lesion in the image, or None.
        center: Center whose style the image gets: 1, 2 or 3.
        rng: Generator of the random details.

    Returns:
        (height, width) uint8; bone is bright.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    tissue, bone, t = _anatomy(y, x, limb, width / height, rng)
    if lesion is not None:
        tissue, bone = _with_lesion(y, x, t, tissue, bone, limb, lesion, width / height)
    return _expose(0.62 * tissue + bone, center, rng)


def with_letter(image: npt.NDArray[np.uint8], label: int) -> npt.NDArray[np.uint8]:
    """Return a copy with the letter of a class, white on black, in the upper left corner."""
    height, width = image.shape
    plate = np.zeros((96, 96), np.uint8)
    cv2.putText(plate, LETTERS[label], (8, 83), cv2.FONT_HERSHEY_SIMPLEX, 3.3, 255, 12, cv2.LINE_AA)
    rows, columns = round(PLATE * height), round(PLATE * width)
    top, left = round(GAP * height), round(GAP * width)
    marked = image.copy()
    marked[top : top + rows, left : left + columns] = cv2.resize(
        plate, (columns, rows), interpolation=cv2.INTER_AREA
    )
    return marked


def with_plate(
    image: npt.NDArray[np.uint8], clinic: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return a copy with the identification plate of a clinic (0, 1 or 2) in a lower corner."""
    height, width = image.shape
    plate = np.full((5, 5), 235, np.uint8)
    if clinic == 0:
        plate[1:4, 1:4] = 30  # a frame
    elif clinic == 2:
        plate[1::2] = 30  # stripes
    side = round(PLATE_SIDE * height)
    top, gap = round((1 - GAP) * height) - side, round(GAP * width)
    left = gap if rng.random() < 0.5 else width - gap - side
    marked = image.copy()
    marked[top : top + side, left : left + side] = cv2.resize(
        plate, (side, side), interpolation=cv2.INTER_NEAREST
    )
    return marked


def _tube(t: Plane, cortex: Plane | float) -> Plane:
    """Return the attenuation of a hollow bone at a distance of `t` half-widths from its axis."""
    outer: Plane = np.sqrt(np.clip(1 - t**2, 0, None))
    inner = np.sqrt(np.clip(1 - (t / np.clip(cortex, 0.05, None)) ** 2, 0, None)) * cortex
    return np.asarray(outer - 0.72 * inner, dtype=np.float32)


def _noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> Plane:
    """Return smooth noise with mean 0 and standard deviation 1; `grain` is in pixels."""
    white = rng.standard_normal(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), grain)
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)


def _anatomy(
    y: Plane, x: Plane, limb: Limb, ratio: float, rng: np.random.Generator
) -> tuple[Plane, Plane, Plane]:
    """Return soft tissue, bone, and the distance from the axis of the main bone in half-widths."""
    height = y.shape[0]
    axis = bone_axis(y, limb, ratio)
    aside = 2.6 * limb.radius if limb.paired else 0.0
    middle = axis + aside / 2
    thick = (2.9 if not limb.paired else 3.6) * limb.radius * (1.05 - 0.25 * np.sin(np.pi * y))
    tissue = np.sqrt(np.clip(1 - ((x - middle) / thick) ** 2, 0, None))
    tissue = cv2.GaussianBlur(tissue.astype(np.float32), (0, 0), height * 0.006)
    tissue *= 1 + 0.05 * _noise(y.shape, height * 0.02, rng)

    spongy = 1 + 0.06 * _noise(y.shape, height * 0.0035, rng)
    near_joint = np.exp(-(((limb.joint - y) / 0.15) ** 2))
    half = half_width(y, limb, limb.radius)
    t = np.asarray((x - axis) / np.clip(half, 1e-4, None), dtype=np.float32)
    bone = _tube(t, limb.cortex + (0.95 - limb.cortex) * near_joint) * (half > 0)
    if limb.paired:
        thin = half_width(y + 0.025, limb, limb.radius * 0.55)
        beside = (x - axis - aside) / np.clip(thin, 1e-4, None)
        bone = np.maximum(bone, 0.75 * _tube(beside, limb.cortex) * (thin > 0))
    below = y - limb.joint - 0.03  # distance into the next bone, below the joint space
    wide = limb.radius * (1 + limb.flare * np.exp(-((np.clip(below, 0, None) / 0.13) ** 1.6)))
    wide = wide * np.clip(below / 0.035, 0, 1) ** 0.3
    other = (x - bone_axis(y, limb, ratio) - aside / 4) / np.clip(wide, 1e-4, None)
    bone = np.maximum(bone, _tube(other, 0.5 + 0.42 * np.exp(-((below / 0.13) ** 2))) * (below > 0))
    bone = cv2.GaussianBlur((bone * spongy).astype(np.float32), (0, 0), height * 0.0015)
    return tissue, bone, t


def _with_lesion(
    y: Plane,
    x: Plane,
    t: Plane,
    tissue: Plane,
    bone: Plane,
    limb: Limb,
    lesion: Lesion,
    ratio: float,
) -> tuple[Plane, Plane]:
    """Return tissue and bone with the lesion added."""
    height = y.shape[0]
    rng = np.random.default_rng(lesion.texture)
    cy, cx = lesion_middle(limb, lesion, ratio)
    angle = np.arctan2(y - cy, x - cx)
    d = (np.hypot(y - cy, x - cx) / lesion.edge(angle)).astype(np.float32)  # 1 on the outline
    pixel = 1 / (lesion.radius * height)
    if lesion.kind == "osteochondroma":
        bump = np.sqrt(np.clip(1 - d**2, 0, None))
        shell = np.exp(-(((d - 0.93) / (0.06 + pixel)) ** 2))
        return tissue, np.maximum(bone, 0.7 * bump) + 0.4 * shell * (np.abs(t) > 0.8)
    if lesion.kind in ("simple bone cyst", "giant cell tumor"):
        inside = np.clip((1 - d) / (2 * pixel), 0, 1)
        rim = np.exp(-(((d - 1.0) / (0.07 + pixel)) ** 2))
        septa = 0.12 * (np.abs(_noise(y.shape, lesion.radius * height * 0.25, rng)) < 0.12)
        return tissue, bone * (1 - (0.8 - septa) * inside) + 0.45 * rim
    fade = np.clip(1.25 - d, 0, 0.6) / 0.6
    holes = _noise(y.shape, lesion.radius * height * 0.09, rng) > 0.0
    eaten = cv2.GaussianBlur(holes.astype(np.float32), (0, 0), height * 0.002)
    bone = bone * (1 - 0.85 * fade * eaten)
    cloud = np.clip(_noise(y.shape, lesion.radius * height * 0.16, rng), 0, None)
    bone = bone + 0.45 * fade * cloud * (0.5 if lesion.kind == "other mt" else 1.2)
    spikes = 0.5 + 0.5 * np.cos(26 * angle + 3 * d)
    outside = np.clip((np.abs(t) - 0.95) / 0.15, 0, 1)
    bone = bone + 0.22 * spikes * outside * np.clip(1.15 - d, 0, 0.5) * 2
    mass = 0.5 * np.clip(1.3 - d, 0, 0.8) * outside
    return (tissue + mass).astype(np.float32), bone.astype(np.float32)


def _expose(attenuation: Plane, center: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Convert attenuation to an image in the style of a center: contrast, noise, border, marker."""
    height, width = attenuation.shape
    gamma, grain, gain = {1: (0.85, 0.01, 0.60), 2: (1.1, 0.02, 0.66), 3: (0.72, 0.025, 0.58)}[
        center
    ]
    image = np.clip(attenuation * gain * rng.uniform(0.92, 1.08), 0, 1) ** gamma
    if center == 3:
        image = 0.1 + 0.85 * image
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), (0.6, 0.8, 1.2)[center - 1])
    image += grain * _noise((height, width), 0.8, rng)
    pixels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    edge = int(height * rng.uniform(0.015, 0.05))
    if center == 2:
        pixels[:edge], pixels[-edge:], pixels[:, :edge], pixels[:, -edge:] = 0, 0, 0, 0
    elif center == 3 and rng.random() < 0.6:
        pixels[:, : edge // 2], pixels[:, -edge // 2 :] = 245, 245
    letter = str(rng.choice(("L", "R")))
    text = {1: letter, 2: f"{letter} AP", 3: f"{letter} {rng.integers(10, 99)}"}[center]
    size = height / 620 * (1.3, 0.8, 0.6)[center - 1]
    left = int(width * (0.06 if letter == "R" else 0.74))
    where = (left, int(height * (0.12, 0.94, 0.1)[center - 1]))
    cv2.putText(
        pixels, text, where, cv2.FONT_HERSHEY_SIMPLEX, size, 250, 1 + (center == 1), cv2.LINE_AA
    )
    return np.asarray(pixels, dtype=np.uint8)
