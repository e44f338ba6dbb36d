"""Define the networks of the grid and the images that benchmarks train them on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.images import full_size
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.augmentation import Augmentation
from btxrd.data.batches import Normalisation, TrainingBatches
from btxrd.data.dataset import Dataset as ImageData
from btxrd.data.dataset import load_dataset
from btxrd.model.classifier import BTXRDClassifier
from btxrd.model.factory import create_model
from btxrd.runtime.device import choose_device
from btxrd.training.acceleration import compile_if_worthwhile, to_device

IMAGES = 192
ROTATION = 15.0  # degrees


@dataclass(frozen=True)
class Network:
    """A network of the grid, with its experiment's settings."""

    name: str
    backbone: str
    size: int
    batch_size: int
    dropout: float
    attention: str | None = None

    def build(
        self, device: torch.device, *, lesion_map: bool = False, pooling: str = "backbone"
    ) -> BTXRDClassifier:
        """Return the network with random weights, compiled as for a long training."""
        model = create_model(
            backbone=self.backbone,
            num_classes=3,
            pretrained=False,
            dropout=self.dropout,
            attn_layer=self.attention,
            image_size=self.size,
            lesion_map=lesion_map,
            pooling=pooling,
        )
        compile_if_worthwhile(to_device(model, device), "auto", 60_000, self.size)
        return model.train()

    def batches(
        self,
        images: ImageData,
        normalisation: Normalisation,
        *,
        guided: bool = False,
        with_lesions: bool = False,
    ) -> TrainingBatches:
        """Return augmented training batches of all images."""
        rows = np.arange(len(images.cases))
        return TrainingBatches(
            images.pixels,
            rows,
            images.labels,
            normalisation,
            Augmentation(flip=True, rotation=ROTATION),
            masks=images.masks(rows),
            dim=0.5 if guided else None,
            with_lesions=with_lesions,
            batch_size=self.batch_size,
            seed=0,
            device=choose_device("auto"),
        )


B0 = Network("EfficientNet-B0, 224 px", "efficientnet_b0", 224, 32, 0.2)
B3 = Network("EfficientNet-B3, 300 px", "efficientnet_b3", 300, 16, 0.3)
CBAM = Network("ResNet-50-CBAM, 224 px", "resnet50", 224, 16, 0.3, "cbam")


def load_images(root: Path, size: int) -> ImageData:
    """Return full-size images as a data set of a run."""
    data = DataConfig(root=str(full_size(root / "films", IMAGES)), cache=str(root / "cache"))
    return load_dataset(data, SplitConfig(strategy="random"), size)
