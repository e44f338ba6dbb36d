"""An image's file -> upright 8-bit grey pixels, and what the file was."""

import hashlib
import io
import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image
from tqdm import tqdm

from btxrd.errors import InputError
from btxrd.runtime.cores import threads
from btxrd.runtime.reading import read_bytes

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")  # by content: a name may say otherwise
MODES = ("L", "LA", "RGB", "RGBA", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's names
SMALLEST = 16  # pixels along a side; BTXRD's smallest image has 153
LARGEST = 100_000_000  # pixels in all; BTXRD's largest image has 18 million
TRANSPOSED = range(5, 9)  # EXIF orientations that exchange width and height
TURNS = {  # EXIF orientations other than upright, and what undoes them
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNREADABLE = "unreadable"  # how the digest of a file begins that cannot be read
BRIGHTEST = 0.005  # share of the pixels of a deep image that may exceed the depth in use
HARMLESS = ("Unknown Adobe", "Warning: unknown JFIF", "Invalid SOS")  # what libjpeg warns of
FEWEST = 32  # grey levels that a deep image must keep, if it has twice as many
UNUSED_CHUNKS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # of a PNG, which Pillow limits in size
ORIENTING = (b"XML:com.adobe.xmp", b"Raw profile type")  # but these may say how to turn it


class ChangedError(InputError):
    """A file that is not the one it was when its digest was computed."""


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


def read_unchanged(path: Path, digest: str) -> bytes:
    """Read an image whose `digest` is known.

    Raises:
        ChangedError: For an image with another digest.
        InputError: See `read_bytes`.
    """
    content = read_bytes(path)
    if _digest(content) != digest:
        raise ChangedError(f"{path}: was changed while it was read; run the same command again")
    return content


def read_image(path: Path, at_least: int | None = None) -> DecodedImage:
    """Read and decode an image; see `decode`."""
    return decode(read_bytes(path), path, at_least)


def decode(content: bytes, path: Path, at_least: int | None = None) -> DecodedImage:
    """Decode an image to grey.

    16 bit are scaled to 8 by the depth that is used; what is transparent becomes black.

    Args:
        content: Bytes of the file.
        path: Path to it, for messages.
        at_least: decode a JPEG at a fraction of its size, each side no shorter than this.

    Raises:
        InputError: for a file that is empty, truncated, corrupt, no image, of absurd size, or of a
            kind whose grey values cannot be told (CMYK, bilevel, ...).
    """
    if not content:
        raise InputError(f"{path}: is empty")
    try:
        content = _checked_png(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's: what matters is checked here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                kind, mode, (width, height) = str(image.format), image.mode, image.size
                deep = _is_deep(image)
                _refuse(path, mode, width, height)
                if kind in ("JPEG", "MPO"):
                    pixels = _jpeg(image, content, at_least)
                else:
                    image.load()
                    pixels = _deep_colour(content) if deep else _grey(image)
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # each decoder and each kind of damage raises a type of its own
        reason = re.sub(r" <_io\..*>", "", str(error))  # Pillow names the object that it reads
        raise InputError(f"{path}: cannot be decoded as an image ({reason})") from error
    if orientation in TURNS:
        pixels = np.asarray(Image.fromarray(pixels).transpose(TURNS[orientation]))
    if orientation in TRANSPOSED:
        width, height = height, width
    mode = f"{mode};16" if deep else mode
    return DecodedImage(pixels, kind, mode, orientation in TURNS, width, height)


def _refuse(path: Path, mode: str, width: int, height: int) -> None:
    if mode not in MODES:
        raise InputError(f"{path}: is a {mode} image; must be grey or RGB")
    if width * height > LARGEST:
        raise InputError(f"{path}: is {width} x {height} pixels; a film has at most {LARGEST:,}")
    if min(width, height) < SMALLEST:
        raise InputError(
            f"{path}: is {width} x {height} pixels; a film has at least {SMALLEST} along a side"
        )


def _jpeg(image: Image.Image, content: bytes, at_least: int | None) -> npt.NDArray[np.uint8]:
    """Decode a JPEG to the same pixels as Pillow, but raise ValueError for corrupt data.

    Pillow ignores the warnings of libjpeg, and shows whatever corrupt data decode to.
    """
    if at_least is not None:
        image.draft("L", (at_least, at_least))
    width, height = image.size
    try:
        grey = simplejpeg.decode_jpeg(content, "GRAY", min_width=width, min_height=height)
    except ValueError as error:
        if not str(error).startswith(HARMLESS):
            raise
        content = _with_usual_header(content)
        grey = simplejpeg.decode_jpeg(content, "GRAY", min_width=width, min_height=height)
    return np.asarray(grey[..., 0], np.uint8)


def _with_usual_header(content: bytes) -> bytes:
    """Replace what libjpeg warns of in the header of a JPEG, and then ignores.

    All further warnings are of corrupt data then.
    """
    jpeg, at, is_sequential = bytearray(content), 2, False
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, body = jpeg[at + 1], at + 4
        end = at + 2 + int.from_bytes(jpeg[at + 2 : body], "big")
        if marker == 0xE0 and jpeg[body : body + 5] == b"JFIF\0":
            jpeg[body + 5] = 1  # version
        elif marker == 0xEE and jpeg[body : body + 5] == b"Adobe" and jpeg[body + 11] > 1:
            jpeg[body + 11] = 1  # YCbCr, for which libjpeg takes what is neither that nor RGB
        elif marker in (0xC0, 0xC1):
            is_sequential = True
        elif marker == 0xDA:
            if is_sequential:
                jpeg[end - 3 : end] = b"\x00\x3f\x00"  # all coefficients, at once
            break
        at = end
    return bytes(jpeg)


def _checked_png(content: bytes) -> bytes:
    """Verify the checksums of a PNG, and leave out what is not needed; return others as they are.

    Raises:
        ValueError: For a PNG that is corrupt or truncated.
    """
    start = content[:8]
    if start != b"\x89PNG\r\n\x1a\n":
        return content
    parts, at, name = [start], 8, b""
    while name != b"IEND":
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            raise ValueError("it is truncated")
        name, data = content[at + 4 : at + 8], content[at + 8 : end - 4]
        if zlib.crc32(name + data) != int.from_bytes(content[end - 4 : end], "big"):
            raise ValueError(f"the checksum of its {name.decode('ascii', 'replace')} data is wrong")
        if name not in UNUSED_CHUNKS or data.startswith(ORIENTING):
            parts.append(content[at:end])
        at = end
    return b"".join(parts)


def _is_deep(image: Image.Image) -> bool:
    """Whether an image has colours or transparency of 16 bits, which Pillow cuts to 8."""
    tiles = getattr(image, "tile", [])  # (decoder, box, offset, arguments)
    raw = tiles[0][3] if tiles else ""
    raw = raw[0] if isinstance(raw, tuple) else raw
    return image.mode in ("LA", "RGB", "RGBA") and ";16" in str(raw)


def _deep_colour(content: bytes) -> npt.NDArray[np.uint8]:
    deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16:
        raise ValueError("colours of 16 bits of an unknown kind")
    grey = cv2.cvtColor(np.ascontiguousarray(deep[..., :3]), cv2.COLOR_BGR2GRAY)
    if deep.shape[2] == 4:
        grey = (grey.astype(np.int64) * deep[..., 3] // 65535).astype(np.uint16)
    return _scaled(grey)


def _scaled(deep: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Scale to 8 bits by the depth in use, of which the few brightest pixels do not decide."""
    rank = int((1 - BRIGHTEST) * (deep.size - 1))
    highest = int(np.partition(deep, rank, axis=None)[rank])
    white = 2 ** max(8, highest.bit_length()) - 1
    grey = np.asarray((deep.clip(0, white).astype(np.int64) * 255 // white).astype(np.uint8))
    levels, had = len(np.unique(grey)), len(np.unique(deep))
    if levels < FEWEST and had >= 2 * levels:
        raise ValueError(
            f"of the {had} grey levels of its 16 bits {levels} would remain; use their whole "
            "range, without an offset or a large white area, or save it with 8 bits"
        )
    return grey


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I"):
        return _scaled(np.asarray(image))
    if image.mode in ("LA", "RGBA", "P"):
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "black"), opaque)
    return np.asarray(image.convert("L"), dtype=np.uint8)


def digest_images(paths: Sequence[str]) -> list[str]:
    """Name each image by the content of its file; for one that cannot be read, say why."""

    def digest(path: str) -> str:
        try:
            return _digest(read_bytes(Path(path)))
        except InputError as error:
            return f"{UNREADABLE}: {error}"

    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(digest, paths))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content).hexdigest()[:32]


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
