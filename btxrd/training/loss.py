"""Training loss: a classification loss and, on request, a loss on the location of lesions."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from btxrd.data.batches import Batch
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.device import autocast

LESION_WEIGHT = 8.0  # weight of a location on a lesion, since lesions are small


class ClassLoss(nn.Module):
    """Cross-entropy loss with an optional correction for class imbalance."""

    prior: Tensor

    def __init__(self, counts: Tensor, imbalance: str, label_smoothing: float = 0.0) -> None:
        """Create the loss.

        Args:
            counts: (num_classes,) number of training views of each class.
            imbalance: Correction for class imbalance. `weights`: class weights by inverse
                frequency; `sqrt_weights`: by the square root of it; `logit_adjustment`: the log of
                the frequency is added to the logits in training (Menon et al. 2021); `focal`: focal
                loss with gamma 2 (Lin et al. 2017). Other values mean plain cross-entropy.
            label_smoothing: Share of a label that is distributed over all classes.
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
        """Compute the mean loss.

        Args:
            logits: (B, num_classes) float.
            labels: (B,) int64, or (B, num_classes) float32 class weights.
        """
        logits = logits.float() + self.prior
        loss: Tensor = self._cross_entropy(logits, labels)
        if self._gamma == 0:
            return loss
        soft = labels if labels.ndim == 2 else functional.one_hot(labels, logits.shape[1])
        right = (logits.softmax(1) * soft).sum(1)
        focused: Tensor = (1 - right) ** self._gamma * loss
        return focused.mean()


def inverse_frequency(counts: Tensor) -> Tensor:
    """Return float32 class weights by inverse frequency, whose mean over the views is 1."""
    return (counts.sum() / (len(counts) * counts)).float()


class Objective:
    """Training loss: the classification loss and, depending on `kind`, a lesion loss."""

    def __init__(
        self,
        class_loss: nn.Module,
        kind: str = "none",
        weight: float = 0.0,
        background: int | None = None,
    ) -> None:
        """Create the loss.

        Args:
            class_loss: Classification loss, a function of logits and labels.
            kind: Lesion loss, for batches with `lesions`. `lesion`: `lesion_loss` of the lesion
                map; `cam`: `energy_loss` of Grad-CAM.
            weight: Weight of the lesion loss.
            background: Label of the class without a lesion; None if every class has one.
        """
        self.class_loss, self._kind, self._weight = class_loss, kind, weight
        self._background = background

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of a batch. The forward pass uses the precision of the device."""
        if batch.lesions is None:
            with autocast(batch.images.device):
                logits = model(batch.images)
            return self._of_class(_head_logits(logits), batch.labels)
        assert isinstance(model, BTXRDClassifier)
        if self._kind == "lesion":
            with autocast(batch.images.device):
                logits, maps = model(batch.images, with_lesions=True)
            heads, lesion_term = _head_logits(logits), lesion_loss(maps.float(), batch.lesions)
        else:
            with (
                autocast(batch.images.device),
                sdpa_kernel(SDPBackend.MATH),  # the other kernels have no second derivative
                _output_of(model.gradcam_target_layer) as outputs,
            ):
                logits = model(batch.images)
            heads = _head_logits(logits)
            maps = class_maps(model, heads.mean(0), batch.labels, outputs[0], self._background)
            lesion_term = energy_loss(maps, batch.lesions)
        return self._of_class(heads, batch.labels) + self._weight * lesion_term

    def _of_class(self, heads: Tensor, labels: Tensor) -> Tensor:
        losses = [self.class_loss(logits, labels) for logits in heads]
        return torch.stack(losses).mean()


def _head_logits(logits: Tensor) -> Tensor:
    """Return the logits of one or several heads as (heads, B, num_classes) float32."""
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
    """Compute the binary cross-entropy plus the Dice loss of a lesion map.

    Locations with an unknown target are ignored. Locations on a lesion have LESION_WEIGHT in the
    cross-entropy. The Dice loss is that of the whole batch (Milletari et al. 2016).

    Args:
        logits: (B, 1, h, w) float32, logits of the map.
        lesions: (B, 1, H, W) float32 in [0, 1], NaN where unknown.
    """
    target, known = _at_size_of(logits, lesions)
    weight = torch.where(known, 1 + (LESION_WEIGHT - 1) * target, 0.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    probs = torch.where(known, logits.sigmoid(), 0.0)
    dice = (2 * (probs * target).sum() + 1) / (probs.sum() + target.sum() + 1)
    return entropy / known.sum().clamp(min=1) + 1 - dice


def class_maps(
    model: BTXRDClassifier,
    logits: Tensor,
    labels: Tensor,
    activation: Tensor,
    background: int | None,
) -> Tensor:
    """Compute Grad-CAM (Selvaraju et al. 2017) of the true class, differentiable.

    Args:
        model: Model that computed the logits.
        logits: (B, num_classes) float32.
        labels: (B,) int64, or (B, num_classes) float32 for mixed images. The map of a mixed image
            is that of its tumour class with the largest weight, if it has one.
        activation: Output of `gradcam_target_layer`.
        background: Label of the class without a lesion; None if every class has one.

    Returns:
        (B, 1, h, w) float32, not negative.
    """
    label = labels
    if labels.ndim == 2:
        label = labels.argmax(1)
        if background is not None:
            tumours = labels.clone()
            tumours[:, background] = 0
            label = torch.where(tumours.any(1), tumours.argmax(1), background)
    score = logits.gather(1, label[:, None]).sum()
    (slope,) = torch.autograd.grad(score, activation, create_graph=True)
    activation, slope = (model.gradcam_activation(of).float() for of in (activation, slope))
    return (activation * slope.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()


def energy_loss(maps: Tensor, lesions: Tensor) -> Tensor:
    """Compute the mean share of a map that is outside the lesion (Rao et al. 2023).

    Images without a lesion, with an unknown lesion or with an empty map are ignored.

    Args:
        maps: (B, 1, h, w) float32, not negative.
        lesions: (B, 1, H, W) float32 in [0, 1], NaN where unknown.
    """
    target, known = _at_size_of(maps, lesions)
    energy = maps.sum((1, 2, 3))
    counts = known.all(3).all(2).all(1) & (target.sum((1, 2, 3)) > 0) & (energy > 0)
    inside = (maps * target).sum((1, 2, 3)) / energy.clamp(min=1e-6)
    return torch.where(counts, 1 - inside, 0.0).sum() / counts.sum().clamp(min=1)


def _at_size_of(maps: Tensor, lesions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lesions at the size of the maps, and a mask of the known locations."""
    size = (maps.shape[2], maps.shape[3])
    target = functional.adaptive_avg_pool2d(lesions, size)
    return target.nan_to_num(), ~target.isnan()
