"""Decode once: film -> one memory-mapped uint8 array, shared by every run."""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image, ImageOps
from tqdm import tqdm

from btxrd.errors import InputError
from btxrd.files import replacing

log = logging.getLogger(__name__)

VERSION = 1  # of what is done to a film; raise it when that changes
FULL_16_BIT = 65535
LARGEST_FILM = 100_000_000  # pixels; BTXRD's largest has 18 million


def load_pixels(
    paths: Sequence[str], size: int, *, clahe_clip: float, clahe_tiles: int, cache: Path
) -> "np.memmap[Any, np.dtype[np.uint8]]":
    """Give the films as pixels, decoded at the first call with these films and settings.

    The cache is keyed by the content of the files and the settings, so it cannot be stale.

    Args:
        paths: of the films.
        size: height and width of the result.
        clahe_clip: see `decode_film`.
        clahe_tiles: see `decode_film`.
        cache: folder of the arrays.

    Returns:
        (n, size, size) uint8, memory-mapped and read-only, in the order of `paths`; its `filename`
        is as good as its content.

    Raises:
        InputError: for a film that cannot be decoded.
    """
    key = _key(paths, [VERSION, size, clahe_clip, clahe_tiles])
    target = cache / f"pixels-{size}-{key}.npy"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"data.cache={cache}: cannot be made ({error.strerror})") from error
    with FileLock(target.with_suffix(".lock")):
        if not target.is_file():
            log.info("Decoding %d films into %s", len(paths), target)
            with replacing(target) as beside:
                _build(paths, size, clahe_clip, clahe_tiles, beside)
    pixels: np.memmap[Any, np.dtype[np.uint8]] = np.load(target, mmap_mode="r")
    return pixels


def _key(paths: Sequence[str], settings: list[float]) -> str:
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=12)
    for path in paths:
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _build(
    paths: Sequence[str], size: int, clahe_clip: float, clahe_tiles: int, target: Path
) -> None:
    pixels = np.lib.format.open_memmap(
        target, mode="w+", dtype=np.uint8, shape=(len(paths), size, size)
    )

    def decode(row: int) -> None:
        pixels[row] = decode_film(Path(paths[row]), size, clahe_clip, clahe_tiles)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = range(len(paths))
        for _ in tqdm(pool.map(decode, rows), "decode", len(paths), unit="film", disable=None):
            pass
    pixels.flush()


def decode_film(
    path: Path, size: int, clahe_clip: float, clahe_tiles: int
) -> npt.NDArray[np.uint8]:
    """Decode one film to grey, equalise its contrast, and resize it to a square.

    Args:
        path: a JPEG, grey or colour.
        size: height and width of the result; the aspect is not kept.
        clahe_clip: contrast limit of CLAHE (Zuiderveld 1994); 0 leaves the contrast as it is.
        clahe_tiles: tiles of CLAHE along each side.

    Returns:
        (size, size) uint8.

    Raises:
        InputError: for a file that is empty, truncated or no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > LARGEST_FILM:
                    raise InputError(
                        f"{path}: is {image.width} x {image.height} pixels; "
                        f"a film has at most {LARGEST_FILM:,}"
                    )
                image.load()
                film = _grey(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be decoded as an image ({error})") from error
    if clahe_clip > 0:
        film = cv2.createCLAHE(clahe_clip, (clahe_tiles, clahe_tiles)).apply(film)
    shrinks = min(film.shape) > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(film, (size, size), interpolation=method), dtype=np.uint8)


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bit
        deep = np.asarray(image, dtype=np.float64)
        return (deep.clip(0, FULL_16_BIT) * (255 / FULL_16_BIT)).astype(np.uint8)
    return np.asarray(image.convert("L"), dtype=np.uint8)
