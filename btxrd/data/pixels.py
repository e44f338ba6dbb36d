"""Decode once: film -> one memory-mapped uint8 array, shared by every run."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from btxrd.data.films import cache_key, digest_films, for_each_film, read_film
from btxrd.files import read_or_build

log = logging.getLogger(__name__)

VERSION = 2  # of what is done to a film; raise it when that changes


def load_pixels(
    paths: Sequence[str],
    size: int,
    *,
    clahe_clip: float,
    clahe_tiles: int,
    cache: Path,
    digests: Sequence[str] | None = None,
) -> "np.memmap[Any, np.dtype[np.uint8]]":
    """Give the films as pixels, decoded at the first call with these films and settings.

    The cache is keyed by the content of the files and the settings, so it cannot be stale.

    Args:
        paths: of the films.
        size: height and width of the result.
        clahe_clip: see `decode_film`.
        clahe_tiles: see `decode_film`.
        cache: folder of the arrays.
        digests: as `digest_films` gives them, where they are known.

    Returns:
        (n, size, size) uint8, memory-mapped and read-only, in the order of `paths`; its `filename`
        is as good as its content.

    Raises:
        InputError: for a film that cannot be decoded.
    """
    key = cache_key(digests or digest_films(paths), [VERSION, size, clahe_clip, clahe_tiles])
    target = cache / f"pixels-{size}-{key}.npy"

    def build(beside: Path) -> None:
        log.info("Decoding %d films into %s", len(paths), target)
        _build(paths, size, clahe_clip, clahe_tiles, beside)

    return read_or_build(target, lambda path: np.load(path, mmap_mode="r"), build)


def _build(
    paths: Sequence[str], size: int, clahe_clip: float, clahe_tiles: int, target: Path
) -> None:
    pixels = np.lib.format.open_memmap(
        target, mode="w+", dtype=np.uint8, shape=(len(paths), size, size)
    )
    if hasattr(os, "posix_fallocate"):  # else a full disk would be a crash while films are written
        with target.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, pixels.offset + pixels.nbytes)

    def decode(row: int) -> None:
        pixels[row] = decode_film(Path(paths[row]), size, clahe_clip, clahe_tiles)

    for_each_film(decode, len(paths), "decode")
    pixels.flush()


def decode_film(
    path: Path, size: int, clahe_clip: float, clahe_tiles: int
) -> npt.NDArray[np.uint8]:
    """Decode one film to grey, equalise its contrast, and resize it to a square.

    Args:
        path: of the film; see `read_film`.
        size: height and width of the result; the aspect is not kept.
        clahe_clip: contrast limit of CLAHE (Zuiderveld 1994); 0 leaves the contrast as it is.
        clahe_tiles: tiles of CLAHE along each side.

    Returns:
        (size, size) uint8.

    Raises:
        InputError: for a file that cannot be used.
    """
    film = read_film(path).pixels
    if clahe_clip > 0:
        film = cv2.createCLAHE(clahe_clip, (clahe_tiles, clahe_tiles)).apply(film)
    shrinks = min(film.shape) > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(film, (size, size), interpolation=method), dtype=np.uint8)
