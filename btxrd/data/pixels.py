"""Decode once: images and outlines -> memory-mapped uint8 arrays, shared by every run."""

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
from btxrd.data.images import (
    cache_key,
    decode,
    digest_images,
    for_each_image,
    read_unchanged,
)
from btxrd.runtime.files import read_or_build
from btxrd.runtime.reading import read_bytes

log = logging.getLogger(__name__)

# Deep colours changed within version 4: what was written before has no checksum, and is made again.
VERSION = 4  # of what is done to an image or an outline; raise it when that changes
TILE = 32  # pixels along each side, that CLAHE can tell the contrast of a tile by
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
    """Give the images as pixels, decoded at the first call with these images and settings.

    The cache is keyed by the content of the files and the settings, so it cannot be stale, and a
    file that is changed while it is read stops the call. Whether shape and content are those that
    were written is verified at each call.

    Args:
        paths: of the images.
        size: height and width of the result.
        clahe_clip: see `decode_image`.
        clahe_tiles: see `decode_image`.
        keep_aspect: see `decode_image`.
        cache: folder of the arrays.
        digests: as `digest_images` gives them, where they are known.

    Returns:
        (n, size, size) uint8, memory-mapped and read-only, in the order of `paths`; its `filename`
        is as good as its content.

    Raises:
        InputError: for an image that cannot be decoded, and where the cache cannot be written.
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
        "pixels",
    )


def load_masks(
    outlines: Sequence[Outline], size: int, *, keep_aspect: bool = False, cache: Path
) -> Stored:
    """Give the lesion masks of outlines, filled at the first call; see `load_pixels`.

    Returns:
        (n, size, size) uint8, see `lesion_mask`, in the order of `outlines`.
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
    """Map the array at `target`; where it is not there or damaged, `make` gives its rows first.

    A checksum follows the array in its file. What an older version wrote has none, and is made
    again.
    """

    def build(temporary: Path) -> None:
        megabytes = np.prod(shape) / 1e6
        log.info("%s of %d films at %d x %d px: %.1f MB in %s", what, *shape, megabytes, target)
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
            raise ValueError(f"holds {stored.shape} {stored.dtype}, not {shape} uint8")
        with path.open("rb") as file:
            file.seek(stored.offset + stored.nbytes)
            if file.read() != _checksum(stored, target.name):
                raise ValueError("has no checksum, or another one")
        return stored

    return read_or_build(target, read, build)


def _checksum(stored: Stored, name: str) -> bytes:
    """Checksum of an array and of the name of its file; 0.1 s for BTXRD at 224 x 224."""
    content = repr((name, stored.shape, zlib.crc32(stored.data)))
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def _reserve(path: Path, size: int) -> None:
    """Take the space of a file now; a disk that fills up while pages are written is a crash."""
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

    A JPEG is decoded at a half, a quarter or an eighth of its size where that still has `size`
    pixels along each side, and TILE in each tile: most of the work is spared.

    Args:
        path: of the image; see `read_image`.
        size: height and width of the result.
        clahe_clip: contrast limit of CLAHE (Zuiderveld 1994); 0 leaves the contrast as it is.
        clahe_tiles: tiles of CLAHE along each side.
        keep_aspect: put the image into the middle of a black square, instead of stretching it.
        digest: that its content must have, if it is known.

    Returns:
        (size, size) uint8.

    Raises:
        InputError: for a file that cannot be used, or has another digest.
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
