"""Learning rate schedule: linear warm-up and cosine decay."""

import math

from torch.optim import Optimizer


class Schedule:
    """Learning rate by step: a linear warm-up to the peak, then a cosine decay to 0."""

    def __init__(
        self,
        optimiser: Optimizer,
        peak: float,
        steps_per_epoch: int,
        warmup_epochs: int,
        epochs: int,
    ) -> None:
        self.optimiser, self._peak = optimiser, peak
        self._warmup = warmup_epochs * steps_per_epoch
        self._total = epochs * steps_per_epoch

    def set(self, step: int) -> None:
        """Set the learning rate of `step`, times `lr_scale` if a parameter group has one."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.at(step) * group.get("lr_scale", 1.0)

    def at(self, step: int) -> float:
        """Return the learning rate of `step`, counted from 0."""
        if step < self._warmup:
            return self._peak * (step + 1) / self._warmup
        done = (step - self._warmup) / (self._total - self._warmup)
        return self._peak * 0.5 * (1 + math.cos(math.pi * done))
