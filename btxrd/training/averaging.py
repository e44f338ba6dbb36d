"""Averaged weights: the mean of a network over its last steps generalises better than the last."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights:
    """Exponential moving average of a model's weights and running statistics.

    The model itself takes on the averaged weights for a while, so that there is no second model:
    its layers may be compiled or patched.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start at the weights of `model`; `decay` is that of many steps, see `update`."""
        self._decay, self.steps = decay, 0
        state = model.state_dict().items()
        self._own = {name: tensor for name, tensor in state if tensor.is_floating_point()}
        self._averages = {name: tensor.clone() for name, tensor in self._own.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in a step. The first ones decay faster, so that the start is soon forgotten."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self._averages.values()), list(self._own.values()), None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights, and its own again afterwards."""
        own = {name: tensor.clone() for name, tensor in self._own.items()}
        _copy(self._averages, self._own)
        try:
            yield
        finally:
            _copy(own, self._own)

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` takes."""
        return {"steps": self.steps, "averages": self._averages}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Go on from a state."""
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        _copy(state["averages"], self._averages)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
