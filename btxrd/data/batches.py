"""Assemble batches on the device from decoded pixels.

Training batches are augmented and can use outlines. `evaluation_batches` has no outline argument,
so predictions on unmodified images do not use the outlines of these images. The evaluation uses
the outlines of test tumours elsewhere: to score Grad-CAM and to mask lesions.
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
UNKNOWN = 255  # value of all pixels in the mask of a tumour without an outline


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation that a backbone expects, per channel, for images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, grey: Tensor) -> Tensor:
        """Normalise grey images.

        Args:
            grey: (B, 1, H, W) float32 in [0, 1].

        Returns:
            (B, C, H, W) float32, the image in each channel, in channels-last memory format.
        """
        channels = [(grey - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]
        return torch.cat(channels, 1).contiguous(memory_format=torch.channels_last)


class Batch(NamedTuple):
    """Input of one training step.

    Attributes:
        images: (B, C, S, S) float32, normalised.
        labels: (B,) int64; (B, classes) float32 class weights if images are mixed.
        lesions: (B, 1, S, S) float32, 1 on the lesion and 0 elsewhere, NaN for tumours without an
            outline. None if the loss does not use the outlines.
    """

    images: Tensor
    labels: Tensor
    lesions: Tensor | None = None


class TrainingBatches:
    """Shuffled, augmented batches of the training cases.

    With `dim`, an image that has a mask is used twice per epoch: once unmodified and once with its
    background dimmed. Each such use is a view. The random numbers of a batch depend only on `seed`
    and the numbers of epoch and batch, so training can resume at any batch.

    Attributes:
        views: Number of views per epoch.
        class_counts: (classes,) int64, number of views of each class.
        batches: Number of batches per epoch.
        batch_size: Size of every batch, at most the requested one. All batches have the same size,
            so that none is tiny and a network is compiled only once. The first views of an epoch
            are used again to fill its last batch.
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
        """Store the training cases and the settings.

        Args:
            pixels: (n, S, S) uint8, all cases.
            rows: Rows of the training cases in `pixels`.
            labels: (n,) labels of all cases.
            normalisation: Normalisation of the backbone.
            augmentation: Augmentation of the images.
            masks: (S, S) uint8 lesion masks, by row.
            dim: Factor for the background of the dimmed views. If None, there are none.
            with_lesions: Whether the batches contain `lesions`.
            balanced: Draw the views with replacement, so that all classes are equally likely.
            batch_size: Largest batch size.
            seed: Seed of the order and the augmentation.
            device: Device of the batches.
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
        """Yield the batches of an epoch, beginning with batch `first`.

        Each batch is read while the one before it is in use, and augmented on the device.
        """
        chosen_of = np.resize(self._order(number), (self.batches, self.batch_size))

        def read(batch: int) -> tuple[Draws, Tensor, Tensor, Tensor | None, Tensor]:
            state = np.random.SeedSequence((self._seed, number, batch)).generate_state(1, np.uint64)
            draws = self._augmentation.draw(self.batch_size, int(state[0]))
            return draws, *self._read(chosen_of[batch])

        for drawn, labels, grey, masks, dimmed in prefetch(read, range(first, self.batches)):
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
        """Return labels (B,), images and masks (B, S, S) uint8, and which views are dimmed (B,)."""
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
        """Move a tensor to pinned memory, from which CUDA can copy asynchronously."""
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=self._device.type == "cuda")


def prefetch(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield `work(item)` for each item, and compute the next result in a thread meanwhile."""
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
    """Return the seed of the random numbers of an epoch.

    It is unique for each pair of `seed` and `epoch`, up to 1,000,003 epochs.
    """
    return seed * 1_000_003 + epoch


def evaluation_batches(
    pixels: Pixels,
    rows: Sequence[int] | npt.NDArray[np.intp],
    normalisation: Normalisation,
    *,
    batch_size: int | None = None,
    device: torch.device,
) -> Iterator[Tensor]:
    """Yield each image of `rows` once, in their order.

    Args:
        pixels: (n, S, S) uint8, all cases.
        rows: Rows of the images in `pixels`.
        normalisation: Normalisation of the backbone.
        batch_size: Size of all batches but the last. The default is 64 for images of up to
            224 x 224 pixels, and about as many pixels in total for larger images.
        device: Device of the batches.

    Yields:
        (B, C, S, S) float32, normalised.
    """
    if batch_size is None:
        batch_size = min(64, max(1, round(64 * (224 / pixels.shape[1]) ** 2)))
    chunks = [np.asarray(rows[n : n + batch_size]) for n in range(0, len(rows), batch_size)]
    for grey in prefetch(lambda chunk: torch.from_numpy(pixels[chunk]), chunks):
        yield normalisation(grey.to(device)[:, None].float() / 255)
