"""Read lesion outlines from LabelMe JSON files, and convert them to masks."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from btxrd.data.table import normal_form
from btxrd.errors import InputError
from btxrd.runtime.reading import files_below, read_bytes, readable

SUBPIXEL_BITS = 4  # cv2.fillPoly takes fixed-point corners
FARTHEST = 1e6  # pixels; coordinates beyond it are rejected
FRAME = 256  # side in pixels of the mask that shows whether a lesion is inside the image
SLACK = 1.0  # pixels; a corner this far outside the image is not reported


@dataclass(frozen=True)
class Outline:
    """The lesions of one image.

    Attributes:
        width: Width of the outlined image in pixels.
        height: Height of the outlined image in pixels.
        polygons: One (corners, 2) float64 array per lesion, x and y in pixels of that image.
        image: Stem of the outlined image, or None if the file does not name it.
        labels: Labels of the polygons, in lower case.
    """

    width: int
    height: int
    polygons: tuple[npt.NDArray[np.float64], ...]
    image: str | None = None
    labels: frozenset[str] = frozenset()

    @property
    def share(self) -> float:
        """Area of the polygons as a share of the image; overlaps are counted twice."""
        areas = [cv2.contourArea(polygon.astype(np.float32)) for polygon in self.polygons]
        return float(sum(areas)) / (self.width * self.height)

    @property
    def crosses_frame(self) -> bool:
        """Whether a corner lies more than SLACK pixels outside the image."""
        corners = np.concatenate(self.polygons)
        beyond = corners > np.array([self.width, self.height]) + SLACK
        return bool((beyond | (corners < -SLACK)).any())


@readable()
def find_outlines(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the outline files of a data set in `root`/Annotations and its subfolders.

    Returns:
        The path of each file, and a message for each stem that has a second file with different
        content, both by stem.

    Raises:
        InputError: If a folder or a file cannot be read.
    """
    files: dict[str, Path] = {}
    doubles: dict[str, str] = {}
    for path in sorted(files_below(root / "Annotations", ".json")):
        stem = normal_form(path.stem)
        known = files.setdefault(stem, path)
        if known is not path and read_bytes(known) != read_bytes(path):
            doubles[stem] = f"{path}: differs from {known}; keep one of them"
    return files, doubles


def read_outline(path: Path) -> Outline:
    """Read one LabelMe file with polygons or rectangles.

    Raises:
        InputError: If the file cannot be read, is not a LabelMe file, or has no shapes or shapes
            of another kind.
    """
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    try:
        width, height = _pixels(content["imageWidth"]), _pixels(content["imageHeight"])
        polygons = tuple(_corners(shape, path) for shape in content["shapes"])
        labels = (str(shape.get("label") or "").strip().casefold() for shape in content["shapes"])
        image = content.get("imagePath")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(
            f"{path}: not a LabelMe file ({error!r}); needs imageWidth, imageHeight and shapes"
        ) from error
    if width < 1 or height < 1 or not polygons:
        raise InputError(
            f"{path}: imageWidth={width}, imageHeight={height}, {len(polygons)} shapes; "
            "must outline at least one lesion"
        )
    stem = None
    if isinstance(image, str) and image:
        stem = normal_form(Path(re.split(r"[/\\]", image)[-1]).stem)
    return Outline(width, height, polygons, stem, frozenset(labels) - {""})


def _pixels(side: Any) -> int:
    """Convert a number of pixels to int; some programs write it as a string or a float."""
    if float(side) != int(float(side)):
        raise ValueError(f"{side} pixels")
    return int(float(side))


def _corners(shape: dict[str, Any], path: Path) -> npt.NDArray[np.float64]:
    kind = str(shape.get("shape_type") or "polygon").lower()  # LabelMe 3 has only polygons
    points = np.asarray(shape["points"], dtype=np.float64)
    if kind == "rectangle" and points.shape in ((2, 2), (4, 2)):
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    elif kind != "polygon" or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(
            f"{path}: a {kind} with {len(points)} points; "
            "must be a polygon with at least three, or a rectangle with two"
        )
    if not (np.abs(points) < FARTHEST).all():
        raise InputError(
            f"{path}: a {kind} has invalid coordinates; each must be a number of pixels"
        )
    return points


def outline_error(outline: Outline, stem: str, width: int, height: int) -> str | None:
    """Return why an outline does not fit the image `stem` of `width` x `height` pixels, or None."""
    if outline.image not in (None, stem):
        return f"imagePath names {outline.image}; must name {stem}"
    if (outline.width, outline.height) != (width, height):
        return (
            f"was drawn on an image of {outline.width} x {outline.height} pixels, "
            f"but {stem} has {width} x {height}"
        )
    alone = (replace(outline, polygons=(polygon,)) for polygon in outline.polygons)
    if not all(lesion_mask(one, FRAME).any() for one in alone):
        return f"a lesion lies completely outside the image of {width} x {height} pixels"
    return None


def frame_in_square(
    width: int, height: int, size: int, keep_aspect: bool
) -> tuple[int, int, int, int]:
    """Return left, top, width and height of an image inside its square of `size` pixels."""
    if not keep_aspect:
        return 0, 0, size, size
    longest = max(width, height)
    inner = [max(1, round(side * size / longest)) for side in (width, height)]
    return (size - inner[0]) // 2, (size - inner[1]) // 2, inner[0], inner[1]


def lesion_mask(outline: Outline, size: int, keep_aspect: bool = False) -> npt.NDArray[np.uint8]:
    """Convert outlines to a mask, placed in the square as the image is.

    Returns:
        (size, size) uint8, 1 inside the lesions and 0 elsewhere. Parts outside the image are cut.
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
