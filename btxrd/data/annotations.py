"""LabelMe JSON -> lesion mask."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from btxrd.data.table import composed
from btxrd.errors import InputError
from btxrd.runtime.reading import files_below, read_bytes, readable

SUBPIXEL_BITS = 4  # cv2.fillPoly takes fixed-point corners
FARTHEST = 1e6  # pixels; no image is as large
FRAME = 256  # pixels along each side, to see whether a lesion lies in it
SLACK = 1.0  # pixels that a corner may lie beyond the frame before it is said to


@dataclass(frozen=True)
class Outline:
    """The lesions of one image.

    Attributes:
        width: of the image that was outlined, in pixels.
        height: likewise.
        polygons: each (corners, 2) float64, x and y in pixels of that image.
        image: stem of the image that was outlined, or None where the file does not tell.
        labels: of the polygons, without capitals.
    """

    width: int
    height: int
    polygons: tuple[npt.NDArray[np.float64], ...]
    image: str | None = None
    labels: frozenset[str] = frozenset()

    @property
    def share(self) -> float:
        """Area that the polygons enclose, as a share of the frame; what overlaps counts twice."""
        areas = [cv2.contourArea(polygon.astype(np.float32)) for polygon in self.polygons]
        return float(sum(areas)) / (self.width * self.height)

    @property
    def crosses_frame(self) -> bool:
        """Whether a corner lies out of the frame."""
        corners = np.concatenate(self.polygons)
        beyond = corners > np.array([self.width, self.height]) + SLACK
        return bool((beyond | (corners < -SLACK)).any())


@readable()
def find_outlines(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the outline files of a data set, by stem; folders in `root`/Annotations are entered.

    Returns:
        The files, and a line for each stem that has a second one of other content.

    Raises:
        InputError: For a folder or a file that cannot be read.
    """
    files: dict[str, Path] = {}
    doubles: dict[str, str] = {}
    for path in sorted(files_below(root / "Annotations", ".json")):
        stem = composed(path.stem)
        known = files.setdefault(stem, path)
        if known is not path and read_bytes(known) != read_bytes(path):
            doubles[stem] = f"{path}: differs from {known}; keep one of them"
    return files, doubles


def read_outline(path: Path) -> Outline:
    """Read one LabelMe 5.x file: polygons and rectangles.

    Raises:
        InputError: for a file that is no JSON, is no LabelMe, or outlines nothing.
    """
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    try:
        width, height = _pixels(content["imageWidth"]), _pixels(content["imageHeight"])
        polygons = tuple(_corners(shape, path) for shape in content["shapes"])
        labels = (str(shape.get("label") or "").strip().casefold() for shape in content["shapes"])
        image = content.get("imagePath")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(
            f"{path}: is no LabelMe file ({error!r}); needs imageWidth, imageHeight and shapes"
        ) from error
    if width < 1 or height < 1 or not polygons:
        raise InputError(
            f"{path}: imageWidth={width}, imageHeight={height}, {len(polygons)} shapes; "
            "must outline a lesion on a film"
        )
    stem = None
    if isinstance(image, str) and image:
        stem = composed(Path(re.split(r"[/\\]", image)[-1]).stem)
    return Outline(width, height, polygons, stem, frozenset(labels) - {""})


def _pixels(side: Any) -> int:
    """A number of pixels, which some programs write as a text or a float."""
    if float(side) != int(float(side)):
        raise ValueError(f"{side} pixels")
    return int(float(side))


def _corners(shape: dict[str, Any], path: Path) -> npt.NDArray[np.float64]:
    kind = str(shape.get("shape_type") or "polygon").lower()  # LabelMe 3 has polygons alone
    points = np.asarray(shape["points"], dtype=np.float64)
    if kind == "rectangle" and points.shape in ((2, 2), (4, 2)):
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    elif kind != "polygon" or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(
            f"{path}: a {kind} with {len(points)} points; "
            "must be a polygon of three or more, or a rectangle of two"
        )
    if not (np.abs(points) < FARTHEST).all():
        raise InputError(f"{path}: a {kind} with points that are no numbers of pixels")
    return points


def outline_error(outline: Outline, stem: str, width: int, height: int) -> str | None:
    """Say why an outline does not belong to the image `stem` of `width` x `height`, or None."""
    if outline.image not in (None, stem):
        return f"imagePath names {outline.image}; must name {stem}"
    if (outline.width, outline.height) != (width, height):
        return (
            f"was drawn on a film of {outline.width} x {outline.height} pixels, "
            f"but {stem} has {width} x {height}"
        )
    alone = (replace(outline, polygons=(polygon,)) for polygon in outline.polygons)
    if not all(lesion_mask(one, FRAME).any() for one in alone):
        return f"a lesion lies wholly out of the frame of {width} x {height}"
    return None


def frame_in_square(
    width: int, height: int, size: int, keep_aspect: bool
) -> tuple[int, int, int, int]:
    """Where an image lies in its square of `size` pixels: left, top, width and height."""
    if not keep_aspect:
        return 0, 0, size, size
    longest = max(width, height)
    inner = [max(1, round(side * size / longest)) for side in (width, height)]
    return (size - inner[0]) // 2, (size - inner[1]) // 2, inner[0], inner[1]


def lesion_mask(outline: Outline, size: int, keep_aspect: bool = False) -> npt.NDArray[np.uint8]:
    """Fill the outlines, laid into a square like the image.

    Returns:
        (size, size) uint8, 1 on the lesions and 0 elsewhere; corners out of the frame are cut off.
    """
    mask = np.zeros((size, size), np.uint8)
    left, top, width, height = frame_in_square(outline.width, outline.height, size, keep_aspect)
    frame = np.zeros((height, width), np.uint8)
    scale = np.array([width / outline.width, height / outline.height])
    for polygon in outline.polygons:
        corners = np.rint((polygon * scale - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(frame, [corners], 1, shift=SUBPIXEL_BITS)
    mask[top : top + height, left : left + width] = frame
    return mask
