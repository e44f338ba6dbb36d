"""Training step: forward pass, backward pass and update, in the precision of the device."""

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
    """Return a fused AdamW optimiser.

    Weight decay is applied to parameters of two or more dimensions that timm does not exclude.

    Args:
        model: Model to train.
        lr: Learning rate; with `layer_decay`, that of the last layers.
        weight_decay: Weight decay of AdamW.
        layer_decay: Factor of the learning rate from each layer (as timm counts them) to the one
            before it (Bao et al. 2022). 1 means the same rate for all. A value below 1 requires a
            `BTXRDClassifier`.
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
    """Training step of a model: forward pass, backward pass and update of the weights."""

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
        # Small gradients would become 0 in float16, so they are scaled up.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision(device) is torch.float16)

    def __call__(self, batch: Batch) -> Tensor:
        """Do a step on a batch. Return its loss, detached from the graph."""
        loss = self.objective(self.model, batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.averages is not None:
            self.averages.update()
        return loss.detach()
