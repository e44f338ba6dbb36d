"""Benchmark training, relative to the network alone, to timm's loader and to a plain loop."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from timm.data import create_dataset, create_loader
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.measure import Row, in_turn, seconds
from benchmarks.networks import B0, B3, CBAM, ROTATION, Network, load_images
from btxrd.data.batches import Batch, Normalisation, TrainingBatches
from btxrd.data.constants import CLASSES
from btxrd.data.dataset import Dataset as ImageData
from btxrd.model.classifier import BTXRDClassifier
from btxrd.model.factory import create_model
from btxrd.runtime.cores import cores
from btxrd.runtime.device import choose_device, make_reproducible
from btxrd.training.acceleration import keep_freed_memory
from btxrd.training.loop import Validation, fit
from btxrd.training.loss import Objective
from btxrd.training.step import Step, adamw

TURNS = 3
GUIDED_STEPS = 5
RECIPE = {"lr": 3e-4, "weight_decay": 0.01}
OBJECTIVE = Objective(nn.CrossEntropyLoss(label_smoothing=0.1))


def rows(root: Path) -> Iterator[Row]:
    """Measure the throughput of each network, the cost of guidance, and an epoch."""
    make_reproducible(0)
    device = choose_device("auto")
    for network in (B0, B3, CBAM):
        images = load_images(root, network.size)
        yield _beside_limit(network, images, device)
        yield from _guidance(network, images, device)
    yield from _epochs(root, device)


def _train(model: BTXRDClassifier, batches: TrainingBatches) -> float:
    """Train for an epoch, and return the throughput of its steps in images per second."""
    with tempfile.TemporaryDirectory() as folder:
        (epoch,) = fit(
            model,
            batches,
            lambda: Validation(1.0, 0.0, 0.0),
            lambda _: None,
            objective=OBJECTIVE,
            epochs=1,
            warmup_epochs=0,
            patience=1,
            seed=0,
            device=model.device,
            run_dir=Path(folder),
            **RECIPE,
        )
    return epoch.images_per_second


def _step(model: nn.Module, device: torch.device, objective: Objective = OBJECTIVE) -> Step:
    return Step(model, objective, adamw(model, **RECIPE), device)


def _beside_limit(network: Network, images: ImageData, device: torch.device) -> Row:
    model = network.build(device)
    batches = network.batches(images, model.normalisation, guided=True)
    step = _step(model, device)
    (batch, *_) = batches.epoch(1)

    def limit() -> float:
        count = batches.batches
        return count * len(batch.images) / seconds(lambda: _consume(step, [batch] * count))

    return in_turn(
        f"{network.name}, guided and augmented",
        "images/s",
        lambda: _train(model, batches),
        "the same steps on one batch in memory",
        limit,
        turns=TURNS,
        target=">= 0.95" if device.type == "cpu" else ">= 0.90",
    )


def _guidance(network: Network, images: ImageData, device: torch.device) -> Iterator[Row]:
    """Measure steps with a loss on lesion maps or on Grad-CAM, and with lesion pooling."""
    plain = network.build(device, lesion_map=True)
    pooling = network.build(device, pooling="lesion")

    def steps(kind: str, model: BTXRDClassifier = plain) -> float:
        objective = Objective(OBJECTIVE.class_loss, kind, 0.5)
        learns = kind != "none"
        batches = network.batches(images, model.normalisation, with_lesions=learns)
        step = _step(model, device, objective)
        return seconds(lambda: _consume(step, islice(batches.epoch(1), GUIDED_STEPS)))

    for kind, model, target in (
        ("lesion", plain, "<= 1.2"),
        ("lesion", pooling, "<= 1.2"),
        ("cam", plain, "<= 2"),
    ):
        pools = " and model.pooling=lesion" if model is pooling else ""
        yield in_turn(
            f"{GUIDED_STEPS} steps with annotations={kind}{pools}, {network.name}",
            "s",
            lambda kind=kind, model=model: steps(kind, model),
            "the same with annotations=none",
            lambda: steps("none"),
            turns=TURNS,
            target=target,
        )


def _consume(step: Callable[[Batch], Tensor], batches: Iterable[Batch]) -> None:
    loss = None
    for batch in batches:
        loss = step(batch)
    if loss is not None:
        loss.item()  # waits for a GPU


def _epochs(root: Path, device: torch.device) -> Iterator[Row]:
    images, on_cpu = load_images(root, B0.size), device.type == "cpu"
    model = B0.build(device)
    batches = B0.batches(images, model.normalisation, guided=False)

    def ours() -> float:
        return seconds(lambda: _train(model, batches))

    step = _step(model, device)
    loader = _timm_loader(root, images, model.normalisation, device)

    def with_timm() -> float:
        return seconds(lambda: _consume(step, _placed(loader, device)))

    what = f"an epoch of {len(images.cases)} full-size images, {B0.name}"
    yield in_turn(
        what,
        "s",
        ours,
        "timm's loader of the JPEG files, same steps",
        with_timm,
        turns=TURNS,
        target="<= 0.8" if on_cpu else "<= 0.5",
    )

    plain_model = create_model(
        backbone=B0.backbone, num_classes=3, pretrained=False, dropout=B0.dropout
    )
    plain_step = PlainStep(plain_model.to(device).train())
    plain_images = PlainImages(images, model.normalisation)
    plain = DataLoader(plain_images, B0.batch_size, shuffle=True, num_workers=cores())

    def with_plain_loop() -> float:
        placed = (Batch(images.to(device), labels.to(device)) for images, labels in plain)
        keep_freed_memory(False)
        taken = seconds(lambda: _consume(plain_step, placed))
        keep_freed_memory()
        return taken

    yield in_turn(
        what,
        "s",
        ours,
        "a plain loop: decode, equalise, float32",
        with_plain_loop,
        turns=TURNS,
        target="<= 0.333" if on_cpu else "<= 0.125",
    )


def _placed(loader: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Iterator[Batch]:
    for images, labels in loader:
        images = images.to(device, memory_format=torch.channels_last)
        yield Batch(images, labels.to(device))


def _timm_loader(
    root: Path, images: ImageData, normalisation: Normalisation, device: torch.device
) -> Iterable[tuple[Tensor, Tensor]]:
    """Return timm's own loader, for images in one folder per class."""
    by_class = root / "by-class"
    for path, label in zip(images.cases["path"], images.labels, strict=True):
        link = by_class / CLASSES[label] / Path(path).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path(path).resolve())
    loader: Iterable[tuple[Tensor, Tensor]] = create_loader(
        create_dataset("", root=str(by_class), split=""),
        input_size=(3, B0.size, B0.size),
        batch_size=B0.batch_size,
        is_training=True,
        use_prefetcher=device.type == "cuda",
        device=device,
        mean=normalisation.mean,
        std=normalisation.std,
        num_workers=cores(),
    )
    return loader


class PlainImages(Dataset[tuple[Tensor, int]]):
    """Images that are decoded, equalised and augmented at each access."""

    def __init__(self, images: ImageData, normalisation: Normalisation) -> None:
        self._paths, self._labels = images.cases["path"].tolist(), images.labels
        self._augment = transforms.Compose(
            [
                transforms.Resize((B0.size, B0.size)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(ROTATION),
                transforms.ToTensor(),
                transforms.Normalize(normalisation.mean, normalisation.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        pixels = np.asarray(Image.open(self._paths[row]).convert("L"))
        equalised = cv2.createCLAHE(2.0, (8, 8)).apply(pixels)
        return self._augment(Image.fromarray(equalised).convert("RGB")), int(self._labels[row])


class PlainStep:
    """Training step in float32, as in a PyTorch tutorial."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._loss = model, nn.CrossEntropyLoss(label_smoothing=0.1)
        self._optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)

    def __call__(self, batch: Batch) -> Tensor:
        self._optimiser.zero_grad()
        loss = self._loss(self._model(batch.images), batch.labels)
        loss.backward()
        self._optimiser.step()
        return loss
