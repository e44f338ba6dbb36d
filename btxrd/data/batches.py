"""Pixels -> batches on the device.

Training has augmentation and lesion guidance, evaluation has neither. The two are apart on purpose:
`evaluation_batches` takes no outline, so none can reach a figure.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from btxrd.data.augmentation import Augmentation, Draws
from btxrd.data.constants import NORMAL

Pixels = npt.NDArray[np.uint8]
S = TypeVar("S")
T = TypeVar("T")
UNKNOWN = 255  # in a mask: a tumour that nobody outlined


@dataclass(frozen=True)
class Normalisation:
    """What a backbone expects of its input; one value a channel, for images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1] -> (B, C, H, W), the image in every channel, channels last."""
        channels = [(grey - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]
        return torch.cat(channels, 1).contiguous(memory_format=torch.channels_last)


class Batch(NamedTuple):
    """What a training step learns from.

    Attributes:
        images: (B, C, S, S) float32, normalised.
        labels: (B,) int64; (B, classes) float32 where images are mixed.
        lesions: (B, 1, S, S) float32, 1 on the lesion and 0 elsewhere, NaN where it is not known;
            None where nothing is to be learned from it.
    """

    images: Tensor
    labels: Tensor
    lesions: Tensor | None = None


class TrainingBatches:
    """The training cases as shuffled, augmented batches.

    With `dim`, each image that has a mask is seen a second time in every epoch, its surroundings
    dimmed.

    Attributes:
        views: images that an epoch shows.
        class_counts: views of each class.
        batches: steps of an epoch.
        batch_size: of each step, at most the one asked for. All are of one size, so that none is
            tiny and a network is compiled once; a few views are seen twice to fill the last.

    All that is drawn for a batch follows from `seed` and the numbers of epoch and batch, so that
    a training can go on anywhere.
    """

    def __init__(
        self,
        pixels: Pixels,
        rows: npt.NDArray[np.intp],
        labels: npt.NDArray[np.intp],
        normalisation: Normalisation,
        augmentation: Augmentation,
        *,
        masks: dict[int, Pixels] | None = None,
        dim: float | None = None,
        with_lesions: bool = False,
        balanced: bool = False,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """Take the training cases.

        Args:
            pixels: (n, S, S) uint8, of all cases.
            rows: of the training cases in `pixels`.
            labels: (n,) of all cases.
            normalisation: of the backbone.
            augmentation: of the images.
            masks: (S, S) uint8 lesion masks by row.
            dim: what the surroundings of a second view are multiplied by; None: no second views.
            with_lesions: whether the batches tell where the lesions are.
            balanced: whether views are drawn with replacement, each class as often.
            batch_size: at most.
            seed: of the order and the augmentation.
            device: that the batches end on.
        """
        again = [row for row in rows if masks and row in masks and dim is not None]
        self._pixels, self._labels, self._masks = pixels, labels, masks or {}
        self._rows = np.concatenate([rows, np.array(again, dtype=np.intp)])
        self.class_counts = np.bincount(labels[self._rows])
        self._dimmed = np.arange(len(self._rows)) >= len(rows)
        self._normalisation, self._augmentation = normalisation, augmentation
        self._dim, self._with_lesions, self._balanced = dim, with_lesions, balanced
        self._seed, self._device = seed, device
        self.views = len(self._rows)
        self.batches = math.ceil(self.views / batch_size)
        self.batch_size = math.ceil(self.views / self.batches)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from a batch on.

        A batch is read while the step before it is taken, and augmented on the device.
        """
        chosen_of = np.resize(self._order(number), (self.batches, self.batch_size))

        def read(batch: int) -> tuple[Draws, Tensor, Tensor, Tensor | None, Tensor]:
            state = np.random.SeedSequence((self._seed, number, batch)).generate_state(1, np.uint64)
            draws = self._augmentation.draw(self.batch_size, int(state[0]))
            return draws, *self._read(chosen_of[batch])

        for drawn, labels, grey, masks, dimmed in one_ahead(read, range(first, self.batches)):
            draws = drawn.to(self._device)
            planes = self._to_device(grey)[:, None].float() / 255
            lesions = None if masks is None else self._to_device(masks)[:, None]
            if lesions is not None and self._dim is not None:
                outside = self._to_device(dimmed)[:, None, None, None] & (lesions == 0)
                planes = torch.where(outside, planes * self._dim, planes)
            if lesions is not None and self._with_lesions:
                known = lesions.float().masked_fill(lesions == UNKNOWN, math.nan)
                planes = torch.cat([planes, known], 1)
            planes = self._augmentation.apply(planes, draws)
            planes, targets = self._augmentation.mix(planes, self._to_device(labels), draws)
            images = self._normalisation(planes[:, :1])
            yield Batch(images, targets, planes[:, 1:] if self._with_lesions else None)

    def _order(self, epoch: int) -> npt.NDArray[np.intp]:
        draw = np.random.default_rng((self._seed, epoch))
        if not self._balanced:
            return draw.permutation(self.views)
        share = 1 / self.class_counts[self._labels[self._rows]]
        return draw.choice(self.views, self.views, p=share / share.sum())

    def _read(self, chosen: npt.NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Labels (B,), images and masks (B, S, S) uint8, and which views are dimmed (B,)."""
        rows = self._rows[chosen]
        labels, grey = (torch.from_numpy(of[rows]) for of in (self._labels, self._pixels))
        dimmed = torch.from_numpy(self._dimmed[chosen])
        if not (self._with_lesions or dimmed.any()):
            return self._pin(labels), self._pin(grey), None, dimmed
        masks = np.zeros((len(rows), *self._pixels.shape[1:]), np.uint8)
        for index, row in enumerate(rows):
            if row in self._masks:
                masks[index] = self._masks[int(row)]
            elif self._labels[row] != NORMAL:
                masks[index] = UNKNOWN
        return self._pin(labels), self._pin(grey), self._pin(torch.from_numpy(masks)), dimmed

    def _pin(self, tensor: Tensor) -> Tensor:
        """Into memory from which CUDA copies while a step is taken."""
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=self._device.type == "cuda")


def one_ahead(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield `work` of each item, that of the next one being done in a thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for item in items:
            following = pool.submit(work, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def epoch_seed(seed: int, epoch: int) -> int:
    """Name the randomness of an epoch; two epochs of two seeds never share one."""
    return seed * 1_000_003 + epoch


def evaluation_batches(
    pixels: Pixels,
    rows: Sequence[int] | npt.NDArray[np.intp],
    normalisation: Normalisation,
    *,
    batch_size: int | None = None,
    device: torch.device,
) -> Iterator[Tensor]:
    """Yield the images of `rows` once each, in their order, as images (B, C, S, S), normalised.

    Where no batch size is given, a batch has the pixels of 64 images of 224, or 64 smaller images.
    """
    if batch_size is None:
        batch_size = min(64, max(1, round(64 * (224 / pixels.shape[1]) ** 2)))
    chunks = [np.asarray(rows[n : n + batch_size]) for n in range(0, len(rows), batch_size)]
    for grey in one_ahead(lambda chunk: torch.from_numpy(pixels[chunk]), chunks):
        yield normalisation(grey.to(device)[:, None].float() / 255)
