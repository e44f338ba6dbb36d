"""Benchmark the memory of training and evaluation for an increasing number of images.

`python -m benchmarks.memory N` prints the peak of the private memory in MB for N images.
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, in_turn
from btxrd.data.augmentation import Augmentation
from btxrd.data.batches import TrainingBatches
from btxrd.evaluation.gradcam import gradcam_maps
from btxrd.evaluation.inference import predict
from btxrd.model.classifier import BTXRDClassifier

TURNS, IMAGES, SIZE = 1, 1000, 600
SOME = 64  # approximate number of images that are evaluated


def rows(_: Path) -> Iterator[Row]:
    """Measure the memory, relative to that with half of the images."""
    yield in_turn(
        f"private memory, batches of {IMAGES} images at {SIZE} px and their evaluation",
        "MB",
        lambda: _in_a_process(IMAGES),
        "half of the images",
        lambda: _in_a_process(IMAGES // 2),
        turns=TURNS,
        target="<= 1.1",
        doubled=lambda: _in_a_process(2 * IMAGES),
    )


def _in_a_process(images: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", str(images)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def peak_of(images: int) -> float:
    """Return the peak of the private memory in MB while images, half with outlines, are used."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = {}
        for name, count in {"pixels": images, "masks": images // 2}.items():
            stored = np.lib.format.open_memmap(
                Path(folder) / name, mode="w+", dtype=np.uint8, shape=(count, SIZE, SIZE)
            )
            for row in range(count):
                stored[row] = row % 255
            stored.flush()
            del stored
            arrays[name] = np.load(Path(folder) / name, mmap_mode="r")
        every, labels = np.arange(images), np.arange(images) % 3
        model = BTXRDClassifier("resnet10t", 3, pretrained=False).eval()
        batches = TrainingBatches(
            arrays["pixels"],
            every,
            labels,
            model.normalisation,
            Augmentation(flip=True, rotation=15.0),
            masks=dict(enumerate(arrays["masks"])),
            dim=0.5,
            batch_size=16,
            seed=0,
            device=torch.device("cpu"),
        )
        with _Watch() as watch:
            for _ in batches.epoch(1):
                pass
            predict(model, arrays["pixels"], every[:: images // SOME])
            chosen = every[:: images // SOME]
            for _ in gradcam_maps(model, arrays["pixels"], chosen, labels[chosen]):
                pass
        return watch.peak


class _Watch:
    """Record the peak of the private memory in MB, sampled every 20 ms by a thread."""

    def __enter__(self) -> "_Watch":
        self.peak, self._over = _private_memory(), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, _private_memory())


def _private_memory() -> float:
    """Return the memory of the process in MB without mapped files (Linux only)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


if __name__ == "__main__":
    print(peak_of(int(sys.argv[1])))
