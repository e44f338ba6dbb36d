"""Benchmark the stages around training: image cache, evaluation, Grad-CAM, bootstrap."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.images import full_size
from benchmarks.measure import Row, in_turn, seconds
from benchmarks.networks import B0
from btxrd.data.batches import evaluation_batches
from btxrd.data.cases import find_images
from btxrd.data.constants import CLASS_NAMES
from btxrd.data.images import read_image
from btxrd.data.pixels import TILE, load_pixels
from btxrd.data.survey import COARSE, digest_images, for_each_image
from btxrd.evaluation.bootstrap import RESAMPLES, partition_metrics
from btxrd.evaluation.gradcam import gradcam_maps
from btxrd.evaluation.inference import predict
from btxrd.runtime.device import choose_device

IMAGES, TURNS = 96, 5
CASES, ASKED = 800, 100


def rows(root: Path) -> Iterator[Row]:
    """Measure each stage, relative to the minimum that it must do or to another library."""
    yield from _cache(root)
    yield from _inference()
    yield _bootstrap()


def _cache(root: Path) -> Iterator[Row]:
    images, _ = find_images(full_size(root / "films", IMAGES))
    paths = [str(path) for path in images.values()]
    cache, digests = root / "built", digest_images(paths)

    def build(count: int) -> float:
        shutil.rmtree(cache, ignore_errors=True)
        settings = {"clahe_clip": 2.0, "clahe_tiles": 8, "cache": cache}
        settings["digests"] = digests[:count]  # a run has them from the inspection
        return seconds(lambda: load_pixels(paths[:count], B0.size, **settings))

    def decode(at_least: int | None) -> float:
        return seconds(
            lambda: for_each_image(
                lambda row: read_image(Path(paths[row]), at_least), IMAGES // 2, "decode"
            )
        )

    def with_pillow() -> float:
        def draft(row: int) -> None:
            with Image.open(paths[row]) as image:
                image.draft("L", (4 * COARSE, 4 * COARSE))
                image.load()

        return seconds(lambda: for_each_image(draft, IMAGES // 2, "decode"))

    half, whole = IMAGES // 2, IMAGES
    yield in_turn(
        f"decoding {half} full-size images for the survey, corrupt data reported",
        "s",
        lambda: decode(4 * COARSE),
        "decoding them with Pillow, corrupt data ignored",
        with_pillow,
        turns=TURNS,
        target="<= 1.1",
    )
    what, doubled = f"cache of {half} full-size images at {B0.size} px", lambda: build(whole)
    yield in_turn(
        what,
        "s",
        lambda: build(half),
        "decoding alone, at the resolution that this size needs",
        lambda: decode(max(B0.size, 8 * TILE)),
        turns=TURNS,
        target="<= 1.3",
        doubled=doubled,
    )
    yield in_turn(
        what,
        "s",
        lambda: build(half),
        "decoding alone, at full resolution",
        lambda: decode(None),
        turns=TURNS,
        doubled=doubled,
    )


def _inference() -> Iterator[Row]:
    device = choose_device("auto")
    model = B0.build(device).eval()
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 255, (256, B0.size, B0.size), np.uint8)

    def limit(batch_size: int, count: int) -> float:
        every = np.arange(batch_size)
        (batch,) = evaluation_batches(
            pixels, every, model.normalisation, batch_size=batch_size, device=device
        )

        @torch.inference_mode()
        def forward() -> None:
            for _ in range(count // batch_size):
                model(batch).sum().item()

        return seconds(forward)

    def judge(count: int) -> float:
        return seconds(lambda: predict(model, pixels, np.arange(count)))

    def explain(count: int) -> float:
        images, targets = np.arange(count), np.zeros(count, int)
        return seconds(lambda: list(gradcam_maps(model, pixels, images, targets)))

    work: tuple[tuple[str, Callable[[int], float]], ...] = (
        ("probabilities", judge),
        ("Grad-CAM", explain),
    )
    for name, of in work:
        yield in_turn(
            f"{name} of 128 images, {B0.name}",
            "s",
            lambda of=of: of(128),
            "forward passes of one batch in memory",
            lambda: limit(64, 128),
            turns=TURNS,
            doubled=lambda of=of: of(256),
        )


def _bootstrap() -> Row:
    draw = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        labels, probs = draw.integers(0, 3, count), draw.dirichlet((1, 1, 1), count)
        return labels, probs, np.arange(count) // 2, draw.integers(1, 4, count)

    cases = drawn(CASES)
    labels, probs, *_ = cases

    def by_sklearn() -> None:
        for _ in range(ASKED):
            chosen = draw.integers(CASES, size=CASES)
            roc_auc_score(labels[chosen], probs[chosen], multi_class="ovr")

    return in_turn(
        f"bootstrap of all metrics, {RESAMPLES} resamples, {CASES} cases",
        "s",
        lambda: seconds(lambda: partition_metrics(*cases, CLASS_NAMES)),
        "macro AUC alone with scikit-learn",
        lambda: seconds(by_sklearn) * RESAMPLES / ASKED,
        turns=TURNS,
        doubled=lambda: seconds(lambda: partition_metrics(*drawn(2 * CASES), CLASS_NAMES)),
    )
