"""What kind of file each film is, and what it looks like from afar: decoded once, coarsely."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from btxrd.data.images import UNREADABLE, cache_key, digest_films, for_each_film, read_film
from btxrd.errors import InputError
from btxrd.runtime.files import read_or_build

VERSION = 1  # of what is noted of a film; raise it when that changes
COARSE = 64  # pixels along each side of a thumbnail
HASH = 8  # bits along each side of a perceptual hash


@dataclass(frozen=True)
class Look:
    """One film from afar.

    Attributes:
        format: see `Film`, as are `mode`, `turned`, `width` and `height`.
        fault: why the film cannot be used, or None; what else is noted then means nothing.
    """

    format: str = ""
    mode: str = ""
    turned: bool = False
    width: int = 0
    height: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class Survey:
    """All films from afar, in the order of `paths`.

    Attributes:
        paths: of the films.
        digests: of their contents.
        looks: what each is.
        hashes: (n, 64) bool, perceptual hashes (`imagehash.phash`).
        thumbnails: (n, COARSE, COARSE) uint8.
    """

    paths: tuple[str, ...]
    digests: tuple[str, ...]
    looks: tuple[Look, ...]
    hashes: npt.NDArray[np.bool_]
    thumbnails: npt.NDArray[np.uint8]

    def select(self, rows: Sequence[int]) -> "Survey":
        """The survey of some of the films."""
        paths = tuple(self.paths[row] for row in rows)
        digests = tuple(self.digests[row] for row in rows)
        looks = tuple(self.looks[row] for row in rows)
        return Survey(paths, digests, looks, self.hashes[rows], self.thumbnails[rows])


NO_FILMS = Survey((), (), (), np.zeros((0, HASH**2), bool), np.zeros((0, COARSE, COARSE), np.uint8))


def survey_films(paths: Sequence[str], cache: Path) -> Survey:
    """Look at films, each decoded at a fraction of its size; at the first call with these contents.

    Args:
        paths: of the films.
        cache: folder in which what is found is kept.
    """
    digests = digest_films(paths)
    names = [Path(path).suffix for path in paths]  # a fault may name what a file is called
    target = cache / f"survey-{cache_key([*digests, *names], [VERSION])}.npz"

    def read(path: Path) -> Survey:
        with np.load(path) as kept:
            looks = tuple(Look(**look) for look in json.loads(str(kept["looks"])))
            return Survey(tuple(paths), tuple(digests), looks, kept["hashes"], kept["thumbnails"])

    return read_or_build(target, read, lambda beside: _build(paths, digests, beside))


def _build(paths: Sequence[str], digests: Sequence[str], target: Path) -> None:
    looks = [Look()] * len(paths)
    hashes = np.zeros((len(paths), HASH**2), bool)
    thumbnails = np.zeros((len(paths), COARSE, COARSE), np.uint8)

    def look(row: int) -> None:
        try:
            looks[row], hashes[row], thumbnails[row] = _look(Path(paths[row]), digests[row])
        except InputError as error:
            looks[row] = Look(fault=str(error).removeprefix(f"{paths[row]}: "))

    for_each_film(look, len(paths), "survey")
    listed: list[dict[str, Any]] = [asdict(item) for item in looks]
    with target.open("wb") as file:
        np.savez(file, looks=json.dumps(listed), hashes=hashes, thumbnails=thumbnails)


def _look(path: Path, digest: str) -> tuple[Look, npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    if digest == UNREADABLE:
        raise InputError(f"{path}: cannot be opened; is it a file that you may read?")
    film = read_film(path, at_least=4 * COARSE)
    if film.pixels.min() == film.pixels.max():
        raise InputError(f"{path}: shows nothing, every pixel is {film.pixels.min()}")
    bits = imagehash.phash(Image.fromarray(film.pixels), hash_size=HASH).hash.ravel()
    small = cv2.resize(film.pixels, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    look = Look(film.format, film.mode, film.turned, film.width, film.height)
    return look, bits, np.asarray(small, np.uint8)
