"""Pixels -> batches on the device.

Training has augmentation and lesion guidance, evaluation has neither. The two are apart on purpose:
`evaluation_batches` takes no outline, so none can reach a figure.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Pixels = npt.NDArray[np.uint8]
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Normalisation:
    """What a backbone expects of its input; one value a channel, for images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1] -> (B, C, H, W), the film in every channel, channels last."""
        channels = [(grey - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]
        return torch.cat(channels, 1).contiguous(memory_format=torch.channels_last)


class TrainingBatches:
    """The training cases as shuffled, augmented batches.

    With masks, each tumour is seen a second time in every epoch, its surroundings dimmed.

    Attributes:
        views: films that an epoch shows.
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
        *,
        masks: dict[int, Pixels] | None = None,
        dim: float = 0.5,
        batch_size: int,
        flip: bool,
        rotation: float,
        seed: int,
        device: torch.device,
    ) -> None:
        """Take the training cases.

        Args:
            pixels: (n, S, S) uint8, of all cases.
            rows: of the training cases in `pixels`.
            labels: (n,) of all cases.
            normalisation: of the backbone.
            masks: (S, S) uint8 lesion masks by row; None leaves guidance out.
            dim: what the surroundings are multiplied by.
            batch_size: at most.
            flip: left-right, half of the time.
            rotation: at most, in degrees either way.
            seed: of the order and the augmentation.
            device: that the batches end on.
        """
        guided = np.array([row for row in rows if masks and row in masks], dtype=np.intp)
        self._pixels, self._labels, self._masks = pixels, labels, masks or {}
        self._rows = np.concatenate([rows, guided])
        self.class_counts = np.bincount(labels[self._rows])
        self._guided = np.arange(len(self._rows)) >= len(rows)
        self._normalisation, self._dim = normalisation, dim
        self._flip, self._rotation = flip, rotation
        self._seed, self._device = seed, device
        self.views = len(self._rows)
        self.batches = math.ceil(self.views / batch_size)
        self.batch_size = math.ceil(self.views / self.batches)

    def epoch(self, number: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, S, S) float32, normalised, and labels (B,) int64, from a batch on.

        A batch is read while the step before it is taken, and augmented on the device.
        """
        order = np.random.default_rng((self._seed, number)).permutation(self.views)
        chosen_of = np.resize(order, (self.batches, self.batch_size))

        def read(batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
            draw = np.random.SeedSequence((self._seed, number, batch)).generate_state(1, np.uint64)
            turns = draw_turns(self.batch_size, self._flip, self._rotation, int(draw[0]))
            return self._pin(turns), *self._read(chosen_of[batch])

        for turns, labels, films, lesions in one_ahead(read, range(first, self.batches)):
            grey = self._place(films)[:, None].float() / 255
            if lesions is not None:
                grey = torch.where(self._place(lesions)[:, None] > 0, grey, grey * self._dim)
            yield self._normalisation(turn(grey, self._place(turns))), self._place(labels)

    def _read(self, chosen: npt.NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Labels (B,), films (B, S, S) uint8, and where they are not dimmed (B, S, S) uint8."""
        rows, guided = self._rows[chosen], self._guided[chosen]
        labels, films = (torch.from_numpy(of[rows]) for of in (self._labels, self._pixels))
        if not guided.any():
            return self._pin(labels), self._pin(films), None
        lesions = np.ones((len(rows), *self._pixels.shape[1:]), np.uint8)
        for place in np.flatnonzero(guided):
            lesions[place] = self._masks[int(rows[place])]
        return self._pin(labels), self._pin(films), self._pin(torch.from_numpy(lesions))

    def _pin(self, tensor: Tensor) -> Tensor:
        """Into memory from which CUDA copies while a step is taken."""
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _place(self, tensor: Tensor) -> Tensor:
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


def draw_turns(count: int, flip: bool, rotation: float, seed: int) -> Tensor:
    """Draw for each film whether it is flipped, and by how much it is turned, in degrees.

    Returns:
        (count, 2, 3) matrices for `turn`.
    """
    draw = torch.Generator().manual_seed(seed)
    angle = (torch.rand(count, generator=draw) * 2 - 1) * torch.pi / 180 * rotation
    sign = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    if not flip:
        sign = torch.ones(count)
    zero = torch.zeros(count)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack(
        [torch.stack([cos * sign, -sin, zero], 1), torch.stack([sin * sign, cos, zero], 1)], 1
    )


def turn(grey: Tensor, matrices: Tensor) -> Tensor:
    """Turn each film of a batch (B, 1, H, W) by its matrix (2, 3); what comes in is black."""
    grid = functional.affine_grid(matrices, list(grey.shape), align_corners=False)
    return functional.grid_sample(grey, grid, align_corners=False)


def evaluation_batches(
    pixels: Pixels,
    rows: Sequence[int] | npt.NDArray[np.intp],
    normalisation: Normalisation,
    *,
    batch_size: int | None = None,
    device: torch.device,
) -> Iterator[Tensor]:
    """Yield the films of `rows` once each, in their order, as images (B, C, S, S), normalised.

    Where no batch size is given, a batch has the pixels of 64 films of 224, or 64 smaller films.
    """
    if batch_size is None:
        batch_size = min(64, max(1, round(64 * (224 / pixels.shape[1]) ** 2)))
    chunks = [np.asarray(rows[n : n + batch_size]) for n in range(0, len(rows), batch_size)]
    for films in one_ahead(lambda chunk: torch.from_numpy(pixels[chunk]), chunks):
        yield normalisation(films.to(device)[:, None].float() / 255)
