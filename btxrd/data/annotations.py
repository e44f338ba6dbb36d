"""LabelMe JSON -> lesion mask."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from btxrd.errors import InputError

SUBPIXEL_BITS = 4  # cv2.fillPoly takes fixed-point corners


@dataclass(frozen=True)
class Outline:
    """The lesions of one film.

    Attributes:
        width: of the film that was outlined, in pixels.
        height: likewise.
        polygons: each (corners, 2) float64, x and y in pixels of that film.
    """

    width: int
    height: int
    polygons: tuple[npt.NDArray[np.float64], ...]


def read_outlines(root: Path, stems: list[str]) -> dict[str, Outline]:
    """Read the outlines of the given cases from `root`/Annotations, nested folders included.

    Returns:
        The outlines by stem; a case without a file is not among them.

    Raises:
        InputError: for a file that is no JSON, is no LabelMe, or outlines nothing.
    """
    files: dict[str, Path] = {}
    for path in sorted((root / "Annotations").rglob("*.json")):
        if not path.name.startswith((".", "~")):
            files.setdefault(path.stem, path)
    return {stem: read_outline(files[stem]) for stem in stems if stem in files}


def read_outline(path: Path) -> Outline:
    """Read one LabelMe 5.x file: polygons and rectangles."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    try:
        width, height = int(content["imageWidth"]), int(content["imageHeight"])
        polygons = tuple(_corners(shape, path) for shape in content["shapes"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is no LabelMe file ({error!r}); needs imageWidth, imageHeight and shapes"
        ) from error
    if width < 1 or height < 1 or not polygons:
        raise InputError(
            f"{path}: imageWidth={width}, imageHeight={height}, {len(polygons)} shapes; "
            "must outline a lesion on a film"
        )
    return Outline(width, height, polygons)


def _corners(shape: dict[str, Any], path: Path) -> npt.NDArray[np.float64]:
    kind, points = shape["shape_type"], np.asarray(shape["points"], dtype=np.float64)
    if kind == "rectangle" and points.shape in ((2, 2), (4, 2)):
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    elif kind != "polygon" or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(
            f"{path}: a {kind} with {len(points)} points; "
            "must be a polygon of three or more, or a rectangle of two"
        )
    if not np.isfinite(points).all():
        raise InputError(f"{path}: a {kind} with points that are no numbers")
    return points


def lesion_mask(outline: Outline, size: int) -> npt.NDArray[np.uint8]:
    """Fill the outlines, scaled like the film to a square.

    Returns:
        (size, size) uint8, 1 on the lesions and 0 elsewhere; corners out of the frame are cut off.
    """
    mask = np.zeros((size, size), np.uint8)
    scale = np.array([size / outline.width, size / outline.height])
    for polygon in outline.polygons:
        corners = np.rint((polygon * scale - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1, shift=SUBPIXEL_BITS)
    return mask
