"""The training loss: of the class, and of what guides the model towards the lesion."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from btxrd.data.batches import Batch
from btxrd.data.constants import NORMAL
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.device import autocast

POSITIVE = 8.0  # weight of a pixel on a lesion: lesions are small


class ClassLoss(nn.Module):
    """Cross-entropy that knows how rare each class is."""

    prior: Tensor

    def __init__(self, counts: Tensor, imbalance: str, label_smoothing: float = 0.0) -> None:
        """Take the recipe.

        Args:
            counts: (num_classes,) training views.
            imbalance: `weights`: by inverse frequency; `sqrt_weights`: by its root;
                `logit_adjustment`: the log of the frequency is added to the logits in training
                (Menon et al. 2021); `focal`: what is right already counts less, gamma 2 (Lin et
                al. 2017); anything else leaves the loss as it is.
            label_smoothing: share of a label that is spread over all classes.
        """
        super().__init__()
        rarity = inverse_frequency(counts) if "weights" in imbalance else None
        if rarity is not None and imbalance == "sqrt_weights":
            rarity = rarity.sqrt() * counts.sum() / (counts * rarity.sqrt()).sum()
        is_adjusted = imbalance == "logit_adjustment"
        prior = (counts / counts.sum()).log() if is_adjusted else torch.zeros(len(counts))
        self.register_buffer("prior", prior.float())
        self._gamma = 2.0 if imbalance == "focal" else 0.0
        self._cross_entropy = nn.CrossEntropyLoss(
            rarity,
            reduction="mean" if self._gamma == 0 else "none",
            label_smoothing=label_smoothing,
        )

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, num_classes) and labels (B,) or (B, num_classes) -> the mean loss."""
        logits = logits.float() + self.prior
        loss: Tensor = self._cross_entropy(logits, labels)
        if self._gamma == 0:
            return loss
        soft = labels if labels.ndim == 2 else functional.one_hot(labels, logits.shape[1])
        right = (logits.softmax(1) * soft).sum(1)
        focused: Tensor = (1 - right) ** self._gamma * loss
        return focused.mean()


def inverse_frequency(counts: Tensor) -> Tensor:
    """Class weights from class counts: their mean over the cases is 1."""
    return (counts.sum() / (len(counts) * counts)).float()


class Objective:
    """What a step lowers: the loss of the class, and by kind of guidance one of the lesion."""

    def __init__(self, class_loss: nn.Module, kind: str = "none", weight: float = 0.0) -> None:
        """Take the parts.

        Args:
            class_loss: of logits and labels.
            kind: `lesion` or `cam` learn from outlines; any other does not.
            weight: of the loss of the lesion.
        """
        self.class_loss, self._kind, self._weight = class_loss, kind, weight

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, forward in the precision of the device."""
        if batch.lesions is None:
            with autocast(batch.images.device):
                logits = model(batch.images)
            return self._of_class(_readings(logits), batch.labels)
        assert isinstance(model, BTXRDClassifier)
        if self._kind == "lesion":
            with autocast(batch.images.device):
                logits, maps = model(batch.images, with_lesions=True)
            readings, guided = _readings(logits), lesion_loss(maps.float(), batch.lesions)
        else:
            with (
                autocast(batch.images.device),
                sdpa_kernel(SDPBackend.MATH),  # the others have no second derivative
                _output_of(model.gradcam_target_layer) as outputs,
            ):
                logits = model(batch.images)
            readings = _readings(logits)
            maps = class_maps(model, readings.mean(0), batch.labels, outputs[0])
            guided = energy_loss(maps, batch.lesions)
        return self._of_class(readings, batch.labels) + self._weight * guided

    def _of_class(self, readings: Tensor, labels: Tensor) -> Tensor:
        losses = [self.class_loss(logits, labels) for logits in readings]
        return torch.stack(losses).mean()


def _readings(logits: Tensor) -> Tensor:
    """Logits of one reading, or of several -> (readings, B, num_classes) float32."""
    return logits.float().reshape(-1, *logits.shape[-2:])


@contextmanager
def _output_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    outputs: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()


def lesion_loss(logits: Tensor, lesions: Tensor) -> Tensor:
    """Binary cross-entropy and Dice loss of a lesion map, over the places that are known.

    Args:
        logits: (B, 1, h, w).
        lesions: (B, 1, H, W) in [0, 1], NaN where it is not known.
    """
    target, known = _at_size_of(logits, lesions)
    weight = torch.where(known, 1 + (POSITIVE - 1) * target, 0.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    probs = torch.where(known, logits.sigmoid(), 0.0)
    dice = (2 * (probs * target).sum() + 1) / (probs.sum() + target.sum() + 1)
    return entropy / known.sum().clamp(min=1) + 1 - dice


def class_maps(
    model: BTXRDClassifier, logits: Tensor, labels: Tensor, activation: Tensor
) -> Tensor:
    """Grad-CAM (B, 1, h, w) of each film's own class, through which gradients flow.

    Args:
        model: whose layer it is.
        logits: (B, num_classes).
        labels: (B,), or (B, num_classes) of mixed films: of those, the map of the tumour in it.
        activation: of `gradcam_target_layer`.
    """
    label = labels
    if labels.ndim == 2:
        tumours = labels[:, NORMAL + 1 :]
        label = torch.where(tumours.any(1), tumours.argmax(1) + NORMAL + 1, NORMAL)
    score = logits.gather(1, label[:, None]).sum()
    (slope,) = torch.autograd.grad(score, activation, create_graph=True)
    activation, slope = (model.gradcam_activation(of).float() for of in (activation, slope))
    return (activation * slope.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()


def energy_loss(maps: Tensor, lesions: Tensor) -> Tensor:
    """The share of each tumour's map that lies off its lesion (Rao et al. 2023), their mean.

    Args:
        maps: (B, 1, h, w), not negative.
        lesions: (B, 1, H, W) in [0, 1], NaN where it is not known; films with none do not count.
    """
    target, known = _at_size_of(maps, lesions)
    energy = maps.sum((1, 2, 3))
    counts = known.all(3).all(2).all(1) & (target.sum((1, 2, 3)) > 0) & (energy > 0)
    inside = (maps * target).sum((1, 2, 3)) / energy.clamp(min=1e-6)
    return torch.where(counts, 1 - inside, 0.0).sum() / counts.sum().clamp(min=1)


def _at_size_of(maps: Tensor, lesions: Tensor) -> tuple[Tensor, Tensor]:
    """Lesions shrunk to the maps, and where they are known."""
    size = (maps.shape[2], maps.shape[3])
    target = functional.adaptive_avg_pool2d(lesions, size)
    return target.nan_to_num(), ~target.isnan()
