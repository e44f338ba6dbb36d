"""Decode images and outlines once, to memory-mapped uint8 arrays that all runs share."""

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from btxrd.data.annotations import Outline, frame_in_square, lesion_mask
from btxrd.data.images import decode
from btxrd.data.survey import cache_key, digest_images, for_each_image, read_unchanged
from btxrd.runtime.files import read_or_build
from btxrd.runtime.reading import read_bytes

log = logging.getLogger(__name__)

# The decoding of 16-bit colours changed within version 4. Arrays from before that change have no
# checksum, so they are built again.
VERSION = 4  # of the processing of an image or an outline; raise it when that changes
TILE = 32  # smallest side in pixels of a tile of CLAHE
Stored = np.memmap[Any, np.dtype[np.uint8]]


def load_pixels(
    paths: Sequence[str],
    size: int,
    *,
    clahe_clip: float,
    clahe_tiles: int,
    keep_aspect: bool = False,
    cache: Path,
    digests: Sequence[str] | None = None,
) -> Stored:
    """Return the decoded images. The first call with these images and settings fills the cache.

    The name of the cached array contains a hash of the contents of the files and the settings. Its
    shape and its checksum are verified at each call.

    Args:
        paths: Paths of the images.
        size: Height and width of the result in pixels.
        clahe_clip: See `decode_image`.
        clahe_tiles: See `decode_image`.
        keep_aspect: See `decode_image`.
        cache: Folder of the cached arrays.
        digests: Hashes of the files, as returned by `digest_images`; computed if None.

    Returns:
        (n, size, size) uint8, memory-mapped and read-only, in the order of `paths`. Its `filename`
        identifies its content.

    Raises:
        InputError: If an image cannot be decoded or changes while it is read, or if the cache
            cannot be written.
    """
    settings = [VERSION, size, clahe_clip, clahe_tiles, keep_aspect]
    digests = digests or digest_images(paths)
    key = cache_key(digests, settings)

    def make(row: int) -> npt.NDArray[np.uint8]:
        path, digest = Path(paths[row]), digests[row]
        return decode_image(path, size, clahe_clip, clahe_tiles, keep_aspect, digest)

    return _load(
        cache / f"pixels-{size}-{key}.npy",
        (len(paths), size, size),
        make,
        "images",
    )


def load_masks(
    outlines: Sequence[Outline], size: int, *, keep_aspect: bool = False, cache: Path
) -> Stored:
    """Return the lesion masks of outlines, cached like the images; see `load_pixels`.

    Args:
        outlines: Outlines of the images.
        size: Height and width of the masks in pixels.
        keep_aspect: See `decode_image`.
        cache: Folder of the cached arrays.

    Returns:
        (n, size, size) uint8, 1 inside the lesions and 0 elsewhere, in the order of `outlines`.
    """
    corners = [[polygon.tolist() for polygon in outline.polygons] for outline in outlines]
    frames = [(outline.width, outline.height) for outline in outlines]
    key = cache_key(
        [repr(content) for content in zip(frames, corners, strict=True)],
        [VERSION, size, keep_aspect],
    )
    return _load(
        cache / f"masks-{size}-{key}.npy",
        (len(outlines), size, size),
        lambda row: lesion_mask(outlines[row], size, keep_aspect),
        "outlines",
    )


def _load(
    target: Path,
    shape: tuple[int, int, int],
    make: Callable[[int], npt.NDArray[np.uint8]],
    what: str,
) -> Stored:
    """Map the array at `target`; build it from the rows that `make` returns if it is not valid.

    A checksum follows the array in its file. A file without one is built again.
    """

    def build(temporary: Path) -> None:
        megabytes = np.prod(shape) / 1e6
        log.info("Caching %s: %d at %d x %d px, %.1f MB in %s", what, *shape, megabytes, target)
        stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        _reserve(temporary, stored.offset + stored.nbytes)

        def store(row: int) -> None:
            stored[row] = make(row)

        for_each_image(store, shape[0], what)
        stored.flush()
        with temporary.open("ab") as file:
            file.write(_checksum(stored, target.name))

    def read(path: Path) -> Stored:
        stored: Stored = np.lib.format.open_memmap(path, mode="r")
        if stored.shape != shape or stored.dtype != np.uint8:
            raise ValueError(f"contains {stored.shape} {stored.dtype}, not {shape} uint8")
        with path.open("rb") as file:
            file.seek(stored.offset + stored.nbytes)
            if file.read() != _checksum(stored, target.name):
                raise ValueError("its checksum is missing or wrong")
        return stored

    return read_or_build(target, read, build)


def _checksum(stored: Stored, name: str) -> bytes:
    """Return a checksum of an array and of the name of its file (0.1 s for BTXRD at 224 px)."""
    content = repr((name, stored.shape, zlib.crc32(stored.data)))
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def _reserve(path: Path, size: int) -> None:
    """Allocate the space of a file now: if the disk filled up later, the process would crash."""
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def decode_image(
    path: Path,
    size: int,
    clahe_clip: float,
    clahe_tiles: int,
    keep_aspect: bool = False,
    digest: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Decode one image to grey, equalise its contrast, and resize it to a square.

    To save time, a JPEG is decoded at a half, a quarter or an eighth of its size if each side then
    still has `size` pixels, and each tile TILE pixels.

    Args:
        path: Path to the image; see `read_image`.
        size: Height and width of the result in pixels.
        clahe_clip: Contrast limit of CLAHE (Zuiderveld 1994); 0 leaves the contrast unchanged.
        clahe_tiles: Number of tiles of CLAHE along each side.
        keep_aspect: Center the image in a black square instead of stretching it.
        digest: Expected hash of the file, or None.

    Returns:
        (size, size) uint8.

    Raises:
        InputError: If the file cannot be used, or has another digest.
    """
    content = read_bytes(path) if digest is None else read_unchanged(path, digest)
    image = decode(content, path, at_least=max(size, TILE * clahe_tiles)).pixels
    if clahe_clip > 0:
        image = cv2.createCLAHE(clahe_clip, (clahe_tiles, clahe_tiles)).apply(image)
    left, top, width, height = frame_in_square(image.shape[1], image.shape[0], size, keep_aspect)
    method = cv2.INTER_AREA if min(image.shape) > size else cv2.INTER_LINEAR
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=method
    )
    return square
