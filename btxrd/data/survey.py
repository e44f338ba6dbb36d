"""File properties and a thumbnail of each image, from one low-resolution decode."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from btxrd.data.images import (
    UNREADABLE,
    cache_key,
    decode,
    digest_images,
    for_each_image,
    read_unchanged,
)
from btxrd.errors import InputError
from btxrd.runtime.files import read_or_build

VERSION = 3  # of the content of a survey file; raise it when that changes
COARSE = 64  # pixels along each side of a thumbnail
HASH = 8  # bits along each side of a perceptual hash


@dataclass(frozen=True)
class ImageInfo:
    """File properties of one image.

    Attributes:
        format: See `DecodedImage`, as for `mode`, `turned`, `width` and `height`.
        error: Why the image cannot be used, or None. If it is set, the others have no meaning.
    """

    format: str = ""
    mode: str = ""
    turned: bool = False
    width: int = 0
    height: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Survey:
    """Survey of all images, in the order of `paths`.

    Attributes:
        paths: Paths of the images.
        digests: Hashes of their contents.
        infos: Their file properties.
        hashes: (n, 64) bool, perceptual hashes (`imagehash.phash`).
        thumbnails: (n, COARSE, COARSE) uint8.
    """

    paths: tuple[str, ...]
    digests: tuple[str, ...]
    infos: tuple[ImageInfo, ...]
    hashes: npt.NDArray[np.bool_]
    thumbnails: npt.NDArray[np.uint8]

    def select(self, rows: Sequence[int]) -> "Survey":
        """The survey of some of the images."""
        paths = tuple(self.paths[row] for row in rows)
        digests = tuple(self.digests[row] for row in rows)
        infos = tuple(self.infos[row] for row in rows)
        return Survey(paths, digests, infos, self.hashes[rows], self.thumbnails[rows])


NO_IMAGES = Survey(
    (), (), (), np.zeros((0, HASH**2), bool), np.zeros((0, COARSE, COARSE), np.uint8)
)


def survey_images(paths: Sequence[str], cache: Path) -> Survey:
    """Survey images, each decoded at a fraction of its size. The first call caches the result.

    Args:
        paths: of the images.
        cache: folder in which what is found is kept.
    """
    digests = digest_images(paths)
    names = [Path(path).suffix for path in paths]  # an error message may name what a file is called
    target = cache / f"survey-{cache_key([*digests, *names], [VERSION])}.npz"

    def read(path: Path) -> Survey:
        with np.load(path) as kept:
            if kept["digests"].tolist() != list(digests):
                raise ValueError("holds other images")
            infos = tuple(ImageInfo(**info) for info in json.loads(str(kept["infos"])))
            return Survey(tuple(paths), tuple(digests), infos, kept["hashes"], kept["thumbnails"])

    return read_or_build(target, read, lambda temporary: _build(paths, digests, temporary))


def _build(paths: Sequence[str], digests: Sequence[str], target: Path) -> None:
    infos = [ImageInfo()] * len(paths)
    hashes = np.zeros((len(paths), HASH**2), bool)
    thumbnails = np.zeros((len(paths), COARSE, COARSE), np.uint8)

    def examine(row: int) -> None:
        path, digest = Path(paths[row]), digests[row]
        if digest.startswith(UNREADABLE):
            infos[row] = ImageInfo(error=digest.removeprefix(f"{UNREADABLE}: {path}: "))
            return
        content = read_unchanged(path, digest)  # an error here may pass: it is not cached
        try:
            infos[row], hashes[row], thumbnails[row] = _examine(content, path)
        except InputError as error:
            infos[row] = ImageInfo(error=str(error).removeprefix(f"{path}: "))

    for_each_image(examine, len(paths), "survey")
    listed: list[dict[str, Any]] = [asdict(item) for item in infos]
    with target.open("wb") as file:
        np.savez(
            file,
            digests=np.array(digests),
            infos=json.dumps(listed),
            hashes=hashes,
            thumbnails=thumbnails,
        )


def _examine(
    content: bytes, path: Path
) -> tuple[ImageInfo, npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    image = decode(content, path, at_least=4 * COARSE)
    if image.pixels.min() == image.pixels.max():
        raise InputError(f"{path}: shows nothing, every pixel is {image.pixels.min()}")
    bits = imagehash.phash(Image.fromarray(image.pixels), hash_size=HASH).hash.ravel()
    small = cv2.resize(image.pixels, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    info = ImageInfo(image.format, image.mode, image.turned, image.width, image.height)
    return info, bits, np.asarray(small, np.uint8)
