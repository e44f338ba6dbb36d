"""Enlarge synthetic images to the sizes of the images of BTXRD."""

import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from btxrd.data.annotations import find_outlines
from btxrd.phantom.write import MARKER, write_phantom
from btxrd.runtime.files import read_json, write_json

WIDTH, HEIGHT = (1629, 500), (2129, 650)  # mean and standard deviation in pixels, as published
SMALLEST, LARGEST = (153, 311), (3594, 4881)  # width and height in pixels
GRAIN, QUALITY = 3.2, 78  # noise and JPEG quality; they yield about 214 kB per image, as in BTXRD


def full_size(root: Path, cases: int) -> Path:
    """Write full-size images, table and outlines in BTXRD's layout, unless `root` has them."""
    if (root / "whole").is_file():
        return root
    shutil.rmtree(root, ignore_errors=True)
    write_phantom(root, cases, seed=0)
    (root / MARKER).unlink()
    draw = np.random.default_rng(0)
    outlines = find_outlines(root)[0]
    for path in sorted((root / "images").iterdir()):
        with Image.open(path) as image:
            pixels, mode = np.asarray(image.convert("L")), image.mode
        size = [round(draw.normal(*of_side)) for of_side in (WIDTH, HEIGHT)]
        width, height = (int(side) for side in np.clip(size, SMALLEST, LARGEST))
        large = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
        noisy = large + GRAIN * draw.standard_normal(large.shape, np.float32)
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)
        image.save(path, format="JPEG", quality=QUALITY)
        if path.stem in outlines:
            _enlarge(outlines[path.stem], width, height)
    (root / "whole").touch()
    return root


def _enlarge(path: Path, width: int, height: int) -> None:
    content = read_json(path)
    scale = np.array([width / content["imageWidth"], height / content["imageHeight"]])
    for shape in content["shapes"]:
        shape["points"] = (np.array(shape["points"]) * scale).tolist()
    write_json(path, content | {"imageWidth": width, "imageHeight": height})
