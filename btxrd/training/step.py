"""A training step: optimiser, precision, update."""

from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor, nn

from btxrd.data.batches import Batch
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.device import precision
from btxrd.training.averaging import AveragedWeights
from btxrd.training.loss import Objective


def adamw(
    model: nn.Module, lr: float, weight_decay: float = 0.0, layer_decay: float = 1.0
) -> torch.optim.Optimizer:
    """AdamW in one kernel; decay on weights of two or more dimensions alone.

    Args:
        model: to be trained.
        lr: of the last layers.
        weight_decay: of AdamW.
        layer_decay: factor of the rate from each of timm's layers to the one below it (Bao et al.
            2022); 1 leaves them alike. Of a `BTXRDClassifier` only.
    """
    learned: Any = model
    if layer_decay < 1:
        assert isinstance(model, BTXRDClassifier)
        learned = param_groups_layer_decay(model.backbone, weight_decay, layer_decay=layer_decay)
        if model.lesion_head is not None:
            learned += param_groups_weight_decay(model.lesion_head, weight_decay)
    optimiser: torch.optim.Optimizer = create_optimizer_v2(
        learned, opt="adamw", lr=lr, weight_decay=weight_decay, fused=True
    )
    return optimiser


class Step:
    """A training step: forward in the precision of the device, backward, update."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        device: torch.device,
        averages: AveragedWeights | None = None,
    ) -> None:
        self.model, self.objective, self.optimiser = model, objective, optimiser
        self.averages = averages
        # float16 has so few small numbers that gradients are scaled up.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision(device) is torch.float16)

    def __call__(self, batch: Batch) -> Tensor:
        """Learn from a batch; gives the loss, detached."""
        loss = self.objective(self.model, batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.averages is not None:
            self.averages.update()
        return loss.detach()
