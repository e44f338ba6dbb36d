from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from btxrd.data import pixels
from btxrd.data.pixels import decode_film, load_pixels
from btxrd.errors import InputError

PLAIN = {"clahe_clip": 0.0, "clahe_tiles": 8}


@pytest.fixture
def films(tmp_path):
    """Three films, brighter to the right, of different sizes and modes."""
    folder = tmp_path / "films"
    folder.mkdir()
    paths = []
    for index, mode in enumerate(("L", "RGB", "L")):
        ramp = np.tile(np.linspace(0, 255, 90 + index, dtype=np.uint8), (120, 1))
        path = folder / f"{index}.jpeg"
        Image.fromarray(ramp).convert(mode).save(path, quality=95)
        paths.append(str(path))
    return paths


def test_films_of_all_modes_become_grey_squares(films, tmp_path):
    loaded = load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN)
    assert loaded.shape == (3, 48, 48)
    assert loaded.dtype == np.uint8
    assert (np.diff(loaded.mean(axis=1), axis=1) > -1).all()


def test_second_call_decodes_nothing(films, tmp_path, monkeypatch):
    first = load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN)
    monkeypatch.setattr(pixels, "decode_film", None)
    assert (load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN) == first).all()


def test_changed_film_is_decoded_again(films, tmp_path):
    load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN)
    Image.new("L", (90, 120), 7).save(films[0])
    assert load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN)[0].max() < 10


def test_settings_are_part_of_the_key(films, tmp_path):
    plain = load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN)
    equalised = load_pixels(films, 48, cache=tmp_path / "cache", clahe_clip=2.0, clahe_tiles=8)
    assert (plain != equalised).any()


def test_clahe_raises_the_contrast_of_a_dull_film(tmp_path):
    rng = np.random.default_rng(0)
    dull = (120 + 6 * rng.standard_normal((200, 200))).astype(np.uint8)
    Image.fromarray(dull).save(tmp_path / "dull.jpeg")
    before = decode_film(tmp_path / "dull.jpeg", 200, 0.0, 8)
    after = decode_film(tmp_path / "dull.jpeg", 200, 2.0, 8)
    assert after.std() > 1.5 * before.std()


def test_exif_rotation_is_undone(tmp_path):
    film = np.zeros((60, 60), np.uint8)
    film[:20] = 255  # bright on top
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(film[::-1].copy()).save(tmp_path / "turned.jpeg", exif=exif)
    decoded = decode_film(tmp_path / "turned.jpeg", 60, 0.0, 8)
    assert decoded[:15].mean() > 240
    assert decoded[30:].mean() < 15


def test_sixteen_bits_keep_their_range(tmp_path):
    deep = np.full((50, 50), 32768, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert decode_film(tmp_path / "deep.png", 32, 0.0, 8).mean() == pytest.approx(127.5, abs=1)


def test_damaged_film_is_named_and_leaves_no_cache(films, tmp_path):
    whole = Path(films[1]).read_bytes()
    Path(films[1]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"1.jpeg: cannot be decoded as an image"):
        load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_damaged_cache_is_built_again(films, tmp_path):
    first = load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN).copy()
    (kept,) = (tmp_path / "cache").glob("pixels-*.npy")
    kept.write_bytes(kept.read_bytes()[:500])
    assert (load_pixels(films, 48, cache=tmp_path / "cache", **PLAIN) == first).all()
