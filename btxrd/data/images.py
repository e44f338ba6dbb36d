"""Decode an image file to upright 8-bit grey pixels, and describe the file."""

import io
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image

from btxrd.errors import InputError
from btxrd.runtime.reading import read_bytes

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")  # judged by the content, not by the name
MODES = ("L", "LA", "RGB", "RGBA", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's names
SMALLEST = 16  # pixels along a side; BTXRD's smallest image has 153
LARGEST = 100_000_000  # pixels in all; BTXRD's largest image has 18 million
TRANSPOSED = range(5, 9)  # EXIF orientations that exchange width and height
TURNS = {  # EXIF orientations other than upright, and the operations that undo them
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BRIGHTEST = 0.005  # share of the pixels of a 16-bit image that may exceed the depth in use
HARMLESS = ("Unknown Adobe", "Warning: unknown JFIF", "Invalid SOS")  # warnings of libjpeg
FEWEST = 32  # grey levels that a 16-bit image must keep, if it has twice as many
UNUSED_CHUNKS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG whose size Pillow limits
ORIENTING = (b"XML:com.adobe.xmp", b"Raw profile type")  # chunks that may contain the orientation


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: (height, width) uint8, grey and upright.
        format: Format of the file, as Pillow names it.
        mode: Mode of the pixels of the file, as Pillow names it; 16-bit colours end in `;16`.
        turned: Whether the image was turned or mirrored because of its EXIF orientation.
        width: Width in pixels of the upright image in the file; `pixels` may be smaller.
        height: Height in pixels of the upright image in the file.
    """

    pixels: npt.NDArray[np.uint8]
    format: str
    mode: str
    turned: bool
    width: int
    height: int


def read_image(path: Path, at_least: int | None = None) -> DecodedImage:
    """Read and decode an image; see `decode`."""
    return decode(read_bytes(path), path, at_least)


def decode(content: bytes, path: Path, at_least: int | None = None) -> DecodedImage:
    """Decode an image to grey.

    16-bit values are scaled to 8 bits by the depth in use (see `_scaled`). Transparent pixels
    become black.

    Args:
        content: Bytes of the file.
        path: Path to the file, for messages.
        at_least: Decode a JPEG at a fraction of its size, with sides of at least so many pixels. If
            None, decode it at full size.

    Raises:
        InputError: If the file is empty, truncated, corrupt or not an image, if its size is out of
            range, or if its mode does not define grey values (CMYK, bilevel and others).
    """
    if not content:
        raise InputError(f"{path}: is empty")
    try:
        content = _checked_png(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of Pillow: the checks are made here
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
    except Exception as error:  # decoders raise many types, depending on the damage
        reason = re.sub(r" <_io\..*>", "", str(error))  # the repr of the object that Pillow reads
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
        raise InputError(f"{path}: has {width} x {height} pixels; must have at most {LARGEST:,}")
    if min(width, height) < SMALLEST:
        raise InputError(
            f"{path}: has {width} x {height} pixels; each side must have at least {SMALLEST}"
        )


def _jpeg(image: Image.Image, content: bytes, at_least: int | None) -> npt.NDArray[np.uint8]:
    """Decode a JPEG to the same pixels as Pillow, but raise ValueError if its data are corrupt.

    Pillow ignores the warnings of libjpeg, and returns wrong pixels for corrupt data.
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
    """Replace the values in the header of a JPEG that cause harmless warnings of libjpeg.

    Any warning that is left then means corrupt data.
    """
    jpeg, at, is_sequential = bytearray(content), 2, False
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, body = jpeg[at + 1], at + 4
        end = at + 2 + int.from_bytes(jpeg[at + 2 : body], "big")
        if marker == 0xE0 and jpeg[body : body + 5] == b"JFIF\0":
            jpeg[body + 5] = 1  # version
        elif marker == 0xEE and jpeg[body : body + 5] == b"Adobe" and jpeg[body + 11] > 1:
            jpeg[body + 11] = 1  # YCbCr, which libjpeg assumes for unknown values
        elif marker in (0xC0, 0xC1):
            is_sequential = True
        elif marker == 0xDA:
            if is_sequential:
                jpeg[end - 3 : end] = b"\x00\x3f\x00"  # all coefficients in one scan
            break
        at = end
    return bytes(jpeg)


def _checked_png(content: bytes) -> bytes:
    """Verify the checksums of a PNG, and return it without UNUSED_CHUNKS.

    Files of other formats are returned unchanged.

    Raises:
        ValueError: If the PNG is corrupt or truncated.
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
    """Return whether an image has 16-bit colours or transparency, which Pillow cuts to 8 bits."""
    tiles = getattr(image, "tile", [])  # (decoder, box, offset, arguments)
    raw = tiles[0][3] if tiles else ""
    raw = raw[0] if isinstance(raw, tuple) else raw
    return image.mode in ("LA", "RGB", "RGBA") and ";16" in str(raw)


def _deep_colour(content: bytes) -> npt.NDArray[np.uint8]:
    deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16:
        raise ValueError("its 16-bit colours are of an unknown kind")
    grey = cv2.cvtColor(np.ascontiguousarray(deep[..., :3]), cv2.COLOR_BGR2GRAY)
    if deep.shape[2] == 4:
        grey = (grey.astype(np.int64) * deep[..., 3] // 65535).astype(np.uint16)
    return _scaled(grey)


def _scaled(deep: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Scale 16-bit values to 8 bits.

    White is 2**bits - 1, where bits is the depth in use, at least 8: that of the brightest pixel,
    if the share BRIGHTEST of the pixels is not counted.

    Raises:
        ValueError: If too few grey levels would remain.
    """
    rank = int((1 - BRIGHTEST) * (deep.size - 1))
    highest = int(np.partition(deep, rank, axis=None)[rank])
    white = 2 ** max(8, highest.bit_length()) - 1
    grey = np.asarray((deep.clip(0, white).astype(np.int64) * 255 // white).astype(np.uint8))
    levels, had = len(np.unique(grey)), len(np.unique(deep))
    if levels < FEWEST and had >= 2 * levels:
        raise ValueError(
            f"of its {had} grey levels at 16 bits, only {levels} would remain at 8 bits; use the "
            "whole range, without an offset or a large white area, or save it with 8 bits"
        )
    return grey


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I"):
        return _scaled(np.asarray(image))
    if image.mode in ("LA", "RGBA", "P"):
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "black"), opaque)
    return np.asarray(image.convert("L"), dtype=np.uint8)
