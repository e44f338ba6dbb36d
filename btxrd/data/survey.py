"""Survey the images of a data set: contents, file properties and thumbnails.

Each image is decoded once, at low resolution.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from btxrd.data.images import decode
from btxrd.errors import InputError
from btxrd.runtime.cores import threads
from btxrd.runtime.files import read_or_build
from btxrd.runtime.reading import read_bytes

VERSION = 3  # of the content of a survey file; raise it when that changes
COARSE = 64  # side of a thumbnail in pixels
UNREADABLE = "unreadable"  # prefix of the digest of a file that cannot be read
HASH = 8  # side of a perceptual hash in bits


class ChangedError(InputError):
    """A file whose content has changed since its digest was computed."""


@dataclass(frozen=True)
class ImageInfo:
    """File properties of one image.

    Attributes:
        format: See `DecodedImage`, also for `mode`, `turned`, `width` and `height`.
        error: Why the image cannot be used, or None. If it is set, ignore the other attributes.
    """

    format: str = ""
    mode: str = ""
    turned: bool = False
    width: int = 0
    height: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Survey:
    """Survey of all images, in the order of `paths`.

    Attributes:
        paths: Paths of the images.
        digests: Hashes of their contents.
        infos: Their file properties.
        hashes: (n, 64) bool, perceptual hashes (`imagehash.phash`).
        thumbnails: (n, COARSE, COARSE) uint8.
    """

    paths: tuple[str, ...]
    digests: tuple[str, ...]
    infos: tuple[ImageInfo, ...]
    hashes: npt.NDArray[np.bool_]
    thumbnails: npt.NDArray[np.uint8]

    def select(self, rows: Sequence[int]) -> "Survey":
        """Return the survey of the images with these indices."""
        paths = tuple(self.paths[row] for row in rows)
        digests = tuple(self.digests[row] for row in rows)
        infos = tuple(self.infos[row] for row in rows)
        return Survey(paths, digests, infos, self.hashes[rows], self.thumbnails[rows])


NO_IMAGES = Survey(
    (), (), (), np.zeros((0, HASH**2), bool), np.zeros((0, COARSE, COARSE), np.uint8)
)


def survey_images(paths: Sequence[str], cache: Path) -> Survey:
    """Survey images, each decoded at a fraction of its size. The first call caches the result.

    Args:
        paths: Paths of the images.
        cache: Folder of the cached surveys.

    Raises:
        InputError: If a file changes meanwhile, or if the cache cannot be written. An image that
            cannot be decoded raises no error; its `ImageInfo` has the reason.
    """
    digests = digest_images(paths)
    names = [Path(path).suffix for path in paths]  # error messages may contain it
    target = cache / f"survey-{cache_key([*digests, *names], [VERSION])}.npz"

    def read(path: Path) -> Survey:
        with np.load(path) as kept:
            if kept["digests"].tolist() != list(digests):
                raise ValueError("it contains other images")
            infos = tuple(ImageInfo(**info) for info in json.loads(str(kept["infos"])))
            return Survey(tuple(paths), tuple(digests), infos, kept["hashes"], kept["thumbnails"])

    return read_or_build(target, read, lambda temporary: _build(paths, digests, temporary))


def _build(paths: Sequence[str], digests: Sequence[str], target: Path) -> None:
    infos = [ImageInfo()] * len(paths)
    hashes = np.zeros((len(paths), HASH**2), bool)
    thumbnails = np.zeros((len(paths), COARSE, COARSE), np.uint8)

    def examine(row: int) -> None:
        path, digest = Path(paths[row]), digests[row]
        if digest.startswith(UNREADABLE):
            infos[row] = ImageInfo(error=digest.removeprefix(f"{UNREADABLE}: {path}: "))
            return
        content = read_unchanged(path, digest)  # its errors may be temporary: they are not cached
        try:
            infos[row], hashes[row], thumbnails[row] = _examine(content, path)
        except InputError as error:
            infos[row] = ImageInfo(error=str(error).removeprefix(f"{path}: "))

    for_each_image(examine, len(paths), "survey")
    listed: list[dict[str, Any]] = [asdict(item) for item in infos]
    with target.open("wb") as file:
        np.savez(
            file,
            digests=np.array(digests),
            infos=json.dumps(listed),
            hashes=hashes,
            thumbnails=thumbnails,
        )


def _examine(
    content: bytes, path: Path
) -> tuple[ImageInfo, npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    image = decode(content, path, at_least=4 * COARSE)
    if image.pixels.min() == image.pixels.max():
        raise InputError(f"{path}: is blank, every pixel is {image.pixels.min()}")
    bits = imagehash.phash(Image.fromarray(image.pixels), hash_size=HASH).hash.ravel()
    small = cv2.resize(image.pixels, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    info = ImageInfo(image.format, image.mode, image.turned, image.width, image.height)
    return info, bits, np.asarray(small, np.uint8)


def read_unchanged(path: Path, digest: str) -> bytes:
    """Return the bytes of an image file whose `digest` is known.

    Raises:
        ChangedError: If the file now has another digest.
        InputError: If the file cannot be read; see `read_bytes`.
    """
    content = read_bytes(path)
    if _digest(content) != digest:
        raise ChangedError(f"{path}: was changed while it was read; run the same command again")
    return content


def digest_images(paths: Sequence[str]) -> list[str]:
    """Return the hash of each file; for one that cannot be read, UNREADABLE and the reason."""

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
    """Return a hash that identifies the result of processing these contents with these settings."""
    return hashlib.blake2b(
        repr((list(digests), list(settings))).encode(), digest_size=12
    ).hexdigest()


def for_each_image(work: Callable[[int], Any], count: int, doing: str) -> None:
    """Call `work` for rows 0 to `count` - 1 in threads, with a progress bar titled `doing`.

    The first exception is raised.
    """
    with ThreadPoolExecutor(threads()) as pool:
        for _ in tqdm(pool.map(work, range(count)), doing, count, unit="image", disable=None):
            pass
