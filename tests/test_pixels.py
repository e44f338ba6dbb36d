import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from btxrd.data import pixels
from btxrd.data.annotations import Outline, lesion_mask
from btxrd.data.images import read_image
from btxrd.data.pixels import decode_image, load_masks, load_pixels
from btxrd.data.survey import digest_images
from btxrd.errors import InputError

PLAIN = {"clahe_clip": 0.0, "clahe_tiles": 8}


@pytest.fixture
def images(tmp_path):
    """Write three images, brighter to the right, with different sizes and modes."""
    folder = tmp_path / "images"
    folder.mkdir()
    paths = []
    for index, mode in enumerate(("L", "RGB", "L")):
        ramp = np.tile(np.linspace(0, 255, 90 + index, dtype=np.uint8), (120, 1))
        path = folder / f"{index}.jpeg"
        Image.fromarray(ramp).convert(mode).save(path, quality=95)
        paths.append(str(path))
    return paths


def test_images_of_all_modes_become_grey_squares(images, tmp_path):
    loaded = load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)
    assert loaded.shape == (3, 48, 48)
    assert loaded.dtype == np.uint8
    assert (np.diff(loaded.mean(axis=1), axis=1) > -1).all()


def test_an_image_that_keeps_its_aspect_is_centered_like_its_mask(tmp_path):
    image = np.full((100, 200), 60, np.uint8)
    image[25:75, 50:150] = 255
    cv2.imwrite(str(tmp_path / "image.png"), image)
    square = decode_image(tmp_path / "image.png", 80, 0.0, 8, keep_aspect=True)
    assert (square[:20] == 0).all()
    assert (square[60:] == 0).all()
    assert (square[21:59] > 0).all()
    corners = np.array([[50, 25], [150, 25], [150, 75], [50, 75]], float)
    mask = lesion_mask(Outline(200, 100, (corners,)), 80, keep_aspect=True)
    assert mask.sum() == 21 * 41
    assert (square[mask == 1] > 150).mean() > 0.9
    assert (square[mask == 0] < 150).mean() > 0.98


def test_the_cache_contains_the_decoded_images(images, tmp_path):
    loaded = load_pixels(images, 48, cache=tmp_path / "cache", clahe_clip=2.0, clahe_tiles=8)
    for image, path in zip(loaded, images, strict=True):
        assert (image == decode_image(Path(path), 48, 2.0, 8)).all()


def test_a_large_jpeg_is_decoded_at_a_fraction_with_similar_pixels(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).standard_normal((2000, 1600))
    image = (128 + 400 * cv2.GaussianBlur(noise, (0, 0), 20)).clip(0, 255).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "large.jpeg", quality=95)
    decode, sizes = pixels.decode, []

    def watched(content, path, at_least):
        found = decode(content, path, at_least)
        sizes.append(found.pixels.shape)
        return found

    monkeypatch.setattr(pixels, "decode", watched)
    fast = decode_image(tmp_path / "large.jpeg", 224, 2.0, 8).astype(float)
    monkeypatch.setattr(
        pixels, "decode", lambda content, path, at_least: watched(content, path, None)
    )
    full = decode_image(tmp_path / "large.jpeg", 224, 2.0, 8).astype(float)
    assert sizes == [(500, 400), (2000, 1600)]
    assert np.abs(fast - full).mean() < 2


def test_masks_are_cached_and_depend_on_the_outlines(tmp_path, monkeypatch):
    square = np.array([[10.0, 10.0], [60.0, 10.0], [60.0, 60.0], [10.0, 60.0]])
    outlines = [Outline(100, 100, (square,)), Outline(100, 100, (square / 2, square))]
    masks = load_masks(outlines, 50, cache=tmp_path)
    assert masks.shape == (2, 50, 50)
    for mask, outline in zip(masks, outlines, strict=True):
        assert (mask == lesion_mask(outline, 50)).all()
    moved = load_masks([outlines[0], Outline(100, 100, (square + 1,))], 50, cache=tmp_path)
    assert (moved[1] != masks[1]).any()
    monkeypatch.setattr(pixels, "lesion_mask", None)
    assert (load_masks(outlines, 50, cache=tmp_path) == masks).all()
    assert load_masks([], 50, cache=tmp_path).shape == (0, 50, 50)


def test_processes_that_start_together_decode_once(images, tmp_path):
    code = (
        "import sys; from pathlib import Path; from btxrd.data import pixels\n"
        "decode = pixels.decode_image\n"
        "def told(*given): print('decoded', flush=True); return decode(*given)\n"
        "pixels.decode_image = told\n"
        "plain = dict(clahe_clip=2.0, clahe_tiles=8)\n"
        "pixels.load_pixels(sys.argv[2:], 48, cache=Path(sys.argv[1]), **plain)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), *images]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "".join(said).count("decoded") == len(images)


def test_a_killed_build_leaves_no_valid_cache(images, tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from btxrd.data import pixels\n"
        "decode = pixels.decode_image\n"
        "def fatal(path, *given):\n"
        "    if path.stem == '2': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return decode(path, *given)\n"
        "pixels.decode_image = fatal\n"
        "plain = dict(clahe_clip=0.0, clahe_tiles=8)\n"
        "pixels.load_pixels(sys.argv[2:], 48, cache=Path(sys.argv[1]), **plain)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cache"), *images])
    assert killed.returncode == -signal.SIGKILL
    assert not list((tmp_path / "cache").glob("*.npy"))
    loaded = load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)
    assert (loaded[2] == decode_image(Path(images[2]), 48, 0.0, 8)).all()
    assert [path.suffix for path in (tmp_path / "cache").glob("pixels-*")].count(".tmp") == 0


def test_second_call_decodes_nothing(images, tmp_path, monkeypatch):
    first = load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)
    monkeypatch.setattr(pixels, "decode_image", None)
    assert (load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN) == first).all()


def test_a_changed_image_is_decoded_again(images, tmp_path):
    load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)
    Image.new("L", (90, 120), 7).save(images[0])
    assert load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)[0].max() < 10


def test_settings_are_part_of_the_key(images, tmp_path):
    plain = load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)
    equalised = load_pixels(images, 48, cache=tmp_path / "cache", clahe_clip=2.0, clahe_tiles=8)
    assert (plain != equalised).any()


def test_clahe_raises_a_low_contrast(tmp_path):
    rng = np.random.default_rng(0)
    dull = (120 + 6 * rng.standard_normal((200, 200))).astype(np.uint8)
    Image.fromarray(dull).save(tmp_path / "dull.jpeg")
    before = decode_image(tmp_path / "dull.jpeg", 200, 0.0, 8)
    after = decode_image(tmp_path / "dull.jpeg", 200, 2.0, 8)
    assert after.std() > 1.5 * before.std()


def test_exif_rotation_is_undone(tmp_path):
    image = np.zeros((60, 60), np.uint8)
    image[:20] = 255  # bright on top
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(image[::-1].copy()).save(tmp_path / "turned.jpeg", exif=exif)
    decoded = decode_image(tmp_path / "turned.jpeg", 60, 0.0, 8)
    assert decoded[:15].mean() > 240
    assert decoded[30:].mean() < 15


def test_sixteen_bits_keep_their_range(tmp_path):
    deep = np.full((50, 50), 32768, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert decode_image(tmp_path / "deep.png", 32, 0.0, 8).mean() == pytest.approx(127.5, abs=1)


def test_a_damaged_image_is_reported_and_leaves_no_cache(images, tmp_path):
    whole = Path(images[1]).read_bytes()
    Path(images[1]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"1.jpeg: cannot be decoded as an image"):
        load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_damaged_cache_is_built_again(images, tmp_path):
    first = load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN).copy()
    (kept,) = (tmp_path / "cache").glob("pixels-*.npy")
    kept.write_bytes(kept.read_bytes()[:500])
    assert (load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN) == first).all()


def test_an_array_of_zeros_or_of_another_size_is_built_again(images, tmp_path):
    first = load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN).copy()
    (kept,) = (tmp_path / "cache").glob("pixels-*.npy")
    flipped = bytearray(kept.read_bytes())
    flipped[5000] ^= 1
    for damaged in (np.zeros_like(first), first[:, :40, :40], first[::-1], None):
        if damaged is None:
            kept.write_bytes(flipped)
        else:
            np.save(kept, damaged)
        assert (load_pixels(images, 48, cache=tmp_path / "cache", **PLAIN) == first).all()


def test_an_array_of_other_images_is_not_used(images, tmp_path):
    load_pixels(images, 48, cache=tmp_path, **PLAIN)
    other = load_pixels(images[::-1], 48, cache=tmp_path, **PLAIN).copy()
    names = sorted(tmp_path.glob("pixels-*.npy"))
    content = [path.read_bytes() for path in names]
    for path, swapped in zip(names, content[::-1], strict=True):
        path.write_bytes(swapped)
    assert (load_pixels(images[::-1], 48, cache=tmp_path, **PLAIN) == other).all()


def test_an_image_that_is_replaced_meanwhile_is_not_cached(images, tmp_path):
    digests = digest_images(images)
    whole = Path(images[1]).read_bytes()
    Image.new("L", (90, 120), 7).save(images[1])
    with pytest.raises(InputError, match=r"1.jpeg: was changed while it was read; run"):
        load_pixels(images, 48, cache=tmp_path, digests=digests, **PLAIN)
    Path(images[1]).write_bytes(whole)
    again = load_pixels(images, 48, cache=tmp_path, digests=digests, **PLAIN)
    assert (again[1] == decode_image(Path(images[1]), 48, 0.0, 8)).all()


SETTINGS = {"size": 48, "clahe_clip": 2.0, "clahe_tiles": 8, "keep_aspect": False}


@pytest.mark.parametrize(
    "changed",
    [{"size": 40}, {"clahe_clip": 9.0}, {"clahe_tiles": 2}, {"keep_aspect": True}],
    ids=str,
)
def test_each_setting_has_its_own_array_in_the_cache(images, tmp_path, changed):
    """Detects a cache whose key lacks a setting."""
    plain = load_pixels(images, cache=tmp_path / "shared", **SETTINGS)
    other = load_pixels(images, cache=tmp_path / "shared", **SETTINGS | changed)
    anew = load_pixels(images, cache=tmp_path / "fresh", **SETTINGS | changed)
    assert np.array_equal(other, anew)
    assert not np.array_equal(other, plain)


def test_pixels_match_the_given_contents_and_order(images, tmp_path):
    """Detects a cache whose key lacks the digests, or their order."""
    plain = load_pixels(images, cache=tmp_path, **SETTINGS)
    turned = load_pixels(images[::-1], cache=tmp_path, **SETTINGS)
    assert np.array_equal(turned, plain[::-1])
    Image.new("L", (90, 120), 7).save(images[2])
    assert load_pixels(images, cache=tmp_path, **SETTINGS).filename != plain.filename


def test_masks_of_another_size_aspect_or_image_have_their_own_arrays(tmp_path):
    """Detects a cache of masks whose key lacks one of them."""
    square = np.array([[10.0, 10.0], [60.0, 10.0], [60.0, 60.0], [10.0, 60.0]])
    outlines = [Outline(100, 80, (square,))]
    asked = [
        (outlines, 50, False), (outlines, 40, False), (outlines, 50, True),
        ([Outline(100, 90, (square,))], 50, False), ([Outline(110, 80, (square,))], 50, False),
    ]  # fmt: skip
    for of, size, keep in asked:
        (mask,) = load_masks(of, size, keep_aspect=keep, cache=tmp_path)
        assert np.array_equal(mask, lesion_mask(of[0], size, keep))


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_16_bit_images_are_scaled_by_the_bits_in_use(tmp_path, bits):
    """Detects a fixed scale, which leaves an image of 12 bits almost black."""
    deep = np.linspace(0, 2**bits - 1, 40 * 40).astype(np.uint16).reshape(40, 40)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    grey = read_image(tmp_path / "deep.png").pixels
    assert (grey.min(), grey.max()) == (0, 255)
    assert grey.mean() == pytest.approx(127, abs=1)
