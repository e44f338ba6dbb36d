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
        self._model, self._decay, self.steps = model, decay, 0
        self._averages = {name: tensor.clone() for name, tensor in self._current().items()}

    def _current(self) -> dict[str, Tensor]:
        state = self._model.state_dict()
        return {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in a step. The first ones decay faster, so that the start is soon forgotten."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self._averages.values()), list(self._current().values()), None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights, and its own again afterwards."""
        own = {name: tensor.clone() for name, tensor in self._current().items()}
        self._load(self._averages)
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def _load(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in self._current().items():
            tensor.copy_(tensors[name])

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` takes."""
        return {"steps": self.steps, "averages": self._averages}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Go on from a state."""
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        for name, tensor in self._averages.items():
            tensor.copy_(state["averages"][name])
