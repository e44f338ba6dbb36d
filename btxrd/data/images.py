"""An image's file -> upright 8-bit grey pixels, and what the file was."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

from btxrd.errors import InputError
from btxrd.runtime.cores import threads

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")  # by content: a name may say otherwise
MODES = ("L", "LA", "RGB", "RGBA", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's names
SMALLEST = 16  # pixels along a side; BTXRD's smallest image has 153
LARGEST = 100_000_000  # pixels in all; BTXRD's largest image has 18 million
ROTATED = range(2, 9)  # EXIF orientations other than upright
TRANSPOSED = range(5, 9)  # and those that exchange width and height
UNREADABLE = "unreadable"  # the digest of a file that the system does not give


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: (height, width) uint8, grey and upright.
        format: of the file, as Pillow names it.
        mode: of the file's pixels, as Pillow names it.
        turned: whether EXIF told to turn it upright.
        width: of the whole image when upright, in pixels; `pixels` may be smaller.
        height: likewise.
    """

    pixels: npt.NDArray[np.uint8]
    format: str
    mode: str
    turned: bool
    width: int
    height: int


def read_image(path: Path, at_least: int | None = None) -> DecodedImage:
    """Decode an image to grey.

    16 bit are scaled to 8 by the depth that is used; what is transparent becomes black.

    Args:
        path: of the image.
        at_least: decode a JPEG at a fraction of its size, each side no shorter than this.

    Raises:
        InputError: for a file that is empty, truncated, no image, of absurd size, or of a kind
            whose grey values cannot be told (CMYK, bilevel, ...).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's: what matters is checked here
            with Image.open(path, formats=FORMATS) as image:
                kind, mode, (width, height) = str(image.format), image.mode, image.size
                _refuse(path, mode, width, height)
                if at_least is not None:
                    image.draft("L", (at_least, at_least))
                image.load()
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
                pixels = _grey(ImageOps.exif_transpose(image))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # each decoder and each kind of damage raises a type of its own
        reason = "is empty" if _is_empty(path) else f"cannot be decoded as an image ({error})"
        raise InputError(f"{path}: {reason}") from error
    if orientation in TRANSPOSED:
        width, height = height, width
    return DecodedImage(pixels, kind, mode, orientation in ROTATED, width, height)


def _refuse(path: Path, mode: str, width: int, height: int) -> None:
    if mode not in MODES:
        raise InputError(f"{path}: is a {mode} image; must be grey or RGB")
    if width * height > LARGEST:
        raise InputError(f"{path}: is {width} x {height} pixels; a film has at most {LARGEST:,}")
    if min(width, height) < SMALLEST:
        raise InputError(
            f"{path}: is {width} x {height} pixels; a film has at least {SMALLEST} along a side"
        )


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64).clip(0)
        bits = max(8, int(deep.max()).bit_length())
        return np.asarray((deep * 255 // (2**bits - 1)).astype(np.uint8))
    if image.mode in ("LA", "RGBA", "P"):
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "black"), opaque)
    return np.asarray(image.convert("L"), dtype=np.uint8)


def digest_images(paths: Sequence[str]) -> list[str]:
    """Name each image by the content of its file."""

    def digest(path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
        except OSError:
            return UNREADABLE

    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(digest, paths))


def cache_key(digests: Sequence[str], settings: Sequence[float]) -> str:
    """Name what is made of images with these contents and settings."""
    return hashlib.blake2b(
        repr((list(digests), list(settings))).encode(), digest_size=12
    ).hexdigest()


def for_each_image(work: Callable[[int], Any], count: int, doing: str) -> None:
    """Call `work` with each row, in threads, behind a progress bar; an exception ends it."""
    with ThreadPoolExecutor(threads()) as pool:
        for _ in tqdm(pool.map(work, range(count)), doing, count, unit="film", disable=None):
            pass
