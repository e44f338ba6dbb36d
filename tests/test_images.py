import errno
import os
import socket
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, PngImagePlugin

from btxrd.data.images import read_image
from btxrd.data.survey import digest_images, survey_images
from btxrd.errors import InputError

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[0:600, 0:480]
IMAGE = (120 + 80 * np.sin(COLUMNS / 17) * np.cos(ROWS / 23)).clip(0, 255).astype(np.uint8)
IMAGE += RNG.integers(0, 9, IMAGE.shape, np.uint8)
OTHER = np.roll(IMAGE[::-1], 77, axis=1)


def jpeg(path, pixels=IMAGE, **options):
    Image.fromarray(pixels).save(path, format="JPEG", quality=85, **options)
    return path.read_bytes()


def in_the_middle(content, new):
    """Return `content` with its middle replaced by `new`."""
    at = (len(content) - len(new)) // 2
    return content[:at] + new + content[at + len(new) :]


CORRUPT = {
    "noise": lambda one, other: in_the_middle(one, RNG.bytes(len(one) * 2 // 3)),
    "a little noise": lambda one, other: in_the_middle(one, RNG.bytes(1500)),
    "zeros": lambda one, other: in_the_middle(one, bytes(4096)),
    "ones": lambda one, other: in_the_middle(one, b"\xff" * 64),
    "splice": lambda one, other: one[: len(one) // 2] + other[len(other) // 2 :],
    "flipped": lambda one, other: in_the_middle(
        one, bytes(255 - byte for byte in one[len(one) // 2 - 500 : len(one) // 2 + 500])
    ),
    "a hole": lambda one, other: one[: len(one) // 2] + one[len(one) // 2 + 512 :],
    "cut": lambda one, other: one[: len(one) // 2],
    "cut and closed": lambda one, other: one[: len(one) // 2] + b"\xff\xd9",
}


@pytest.mark.parametrize("progressive", [False, True], ids=["sequential", "progressive"])
@pytest.mark.parametrize("damage", CORRUPT)
def test_a_corrupt_jpeg_is_refused(damage, progressive, tmp_path):
    path = tmp_path / "a.jpeg"
    other = jpeg(path, OTHER, progressive=progressive)
    path.write_bytes(CORRUPT[damage](jpeg(path, progressive=progressive), other))
    for at_least in (None, 64):
        with pytest.raises(InputError, match=r"a.jpeg: cannot be decoded as an image \("):
            read_image(path, at_least)


@pytest.mark.parametrize("at_least", [None, 64, 224])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_has_the_pixels_that_pillow_decodes(mode, at_least, tmp_path):
    """Detects another scale, colour conversion or transform: all metrics would change."""
    Image.fromarray(IMAGE).convert(mode).save(tmp_path / "a.jpeg", quality=85)
    with Image.open(tmp_path / "a.jpeg") as image:
        image.draft("L", None if at_least is None else (at_least, at_least))
        assert np.array_equal(read_image(tmp_path / "a.jpeg", at_least).pixels, np.asarray(image))


def test_a_jpeg_with_harmless_warnings_is_read(tmp_path):
    content = jpeg(tmp_path / "a.jpeg")
    jfif = content.index(b"JFIF\0") + 5
    (tmp_path / "a.jpeg").write_bytes(content[:jfif] + b"\x07" + content[jfif + 1 :])
    with Image.open(tmp_path / "a.jpeg") as image:
        assert np.array_equal(read_image(tmp_path / "a.jpeg").pixels, np.asarray(image))


def test_an_odd_header_changes_no_colours_of_an_rgb_jpeg(tmp_path):
    """Detects a header in which RGB becomes YCbCr: the grey values would be those of red."""
    planes = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]], 2)
    content = simplejpeg.encode_jpeg(planes, 95, "RGB", "444")
    assert b"JFIF" in content
    app0 = content.index(b"\xff\xe0")
    end = app0 + 2 + int.from_bytes(content[app0 + 2 : app0 + 4], "big")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # RGB
    odd = bytearray(content[:app0] + adobe + content[end:])
    scan = odd.index(b"\xff\xda")
    odd[scan + 2 + int.from_bytes(odd[scan + 2 : scan + 4], "big") - 2] = 62  # of 0 to 63
    (tmp_path / "a.jpeg").write_bytes(odd)
    with Image.open(tmp_path / "a.jpeg") as image:
        expected = np.asarray(image.convert("L")).astype(int)
    assert np.abs(read_image(tmp_path / "a.jpeg").pixels - expected).max() <= 2


def test_a_harmless_warning_does_not_hide_corrupt_data(tmp_path):
    content = jpeg(tmp_path / "a.jpeg")
    jfif = content.index(b"JFIF\0") + 5
    odd = content[:jfif] + b"\x07" + content[jfif + 1 :]
    (tmp_path / "a.jpeg").write_bytes(CORRUPT["flipped"](odd, odd))
    with pytest.raises(InputError, match=r"a.jpeg: cannot be decoded as an image \("):
        read_image(tmp_path / "a.jpeg")


@pytest.mark.parametrize("at", [0.3, 0.9])
def test_a_png_with_a_wrong_byte_is_refused(at, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[int(at * len(content))] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"the checksum of its IDAT data is wrong"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_image_is_refused(format, kept, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png", format=format)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"a.png: cannot be decoded as an image"):
        read_image(tmp_path / "a.png")


def test_a_png_with_a_large_profile_or_text_is_read(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 2_000_000, zip=True)
    Image.fromarray(IMAGE).save(tmp_path / "a.png", pnginfo=text, icc_profile=bytes(2_000_000))
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, IMAGE)


def deep_png(path, deep, colour):
    """Write (H, W) uint16 as a PNG of 16 bits: grey, LA, RGB or RGBA, all opaque."""
    if colour == "LA":  # no library writes it
        rows = np.stack([deep, np.full_like(deep, 65535)], 2).astype(">u2")
        raw = b"".join(b"\0" + row.tobytes() for row in rows)
        header = struct.pack(">IIBBBBB", deep.shape[1], deep.shape[0], 16, 4, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
        parts = [
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        ]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        return
    planes = [deep] * len(colour.replace("A", ""))
    planes += [np.full_like(deep, 65535)] * colour.count("A")
    cv2.imwrite(str(path), planes[0] if colour == "L" else np.stack(planes, 2))


@pytest.mark.parametrize("outliers", [0, 1, 500])
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("colour", ["L", "LA", "RGB", "RGBA"])
def test_each_16_bit_mode_keeps_its_grey_levels(colour, bits, outliers, tmp_path):
    deep = IMAGE.astype(np.uint16) << (bits - 8)
    deep.ravel()[:outliers] = 65535
    deep_png(tmp_path / "a.png", deep, colour)
    grey = read_image(tmp_path / "a.png").pixels
    assert np.abs(grey.astype(int) - IMAGE).ravel()[outliers:].max() <= 1


@pytest.mark.parametrize(
    "crush",
    [
        lambda deep: np.where(np.arange(deep.size).reshape(deep.shape) < 2000, 65535, deep),
        lambda deep: deep + 32768,
        lambda deep: 65535 - deep,
    ],
    ids=["white area", "offset", "inverted"],
)
def test_a_16_bit_image_that_would_keep_few_grey_levels_is_refused(crush, tmp_path):
    deep_png(tmp_path / "a.png", crush(IMAGE.astype(np.uint16) << 4).astype(np.uint16), "L")
    with pytest.raises(InputError, match=r"of its \d+ grey levels at 16 bits, only \d+ would"):
        read_image(tmp_path / "a.png")


def test_16_bit_colours_of_a_tiff_keep_their_grey_levels(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tiff"), np.repeat(IMAGE[..., None].astype(np.uint16) * 16, 3, 2))
    assert len(np.unique(read_image(tmp_path / "a.tiff").pixels)) > 100


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    home = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.chdir(home)


SPECIAL = {
    "pipe": make_pipe,
    "socket": make_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_files_are_opened(kind, tmp_path):
    path = tmp_path / "a.jpeg"
    SPECIAL[kind](path)
    message = "is a folder, a pipe or a device; must be a file"
    assert digest_images([str(path)])[0].endswith(message)
    with pytest.raises(InputError, match=message):
        read_image(path)
    assert survey_images([str(path)], tmp_path / "cache").infos[0].error == message


def test_a_temporary_error_is_not_cached(tmp_path, monkeypatch):
    path = tmp_path / "a.jpeg"
    jpeg(path)
    digests = digest_images([str(path)])
    path.unlink()
    monkeypatch.setattr("btxrd.data.survey.digest_images", lambda paths: digests)
    with pytest.raises(InputError, match=r"a.jpeg: cannot be read \(No such file"):
        survey_images([str(path)], tmp_path / "cache")
    jpeg(path)
    assert survey_images([str(path)], tmp_path / "cache").infos[0].error is None


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ESTALE])
def test_an_error_of_the_file_system_is_reported_with_the_file(code, tmp_path, monkeypatch):
    jpeg(tmp_path / "a.jpeg")

    def fail(path):
        raise OSError(code, os.strerror(code))  # as reading does, which does not name the file

    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    with pytest.raises(InputError, match=rf"a.jpeg: cannot be read \({os.strerror(code)}\)"):
        read_image(tmp_path / "a.jpeg")


def test_unprintable_characters_of_a_name_are_escaped(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\x1b.jpeg"))
    with pytest.raises(InputError, match=r"a\\udcff\\x1b.jpeg: cannot be read"):
        read_image(path)
