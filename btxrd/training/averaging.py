"""Average weights over training steps, which often generalises better (Izmailov et al. 2018)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights:
    """Exponential moving average (EMA) of the weights and running statistics of a model.

    To evaluate the averages, they are copied into the model for a while (`in_place`). A second
    model would lose what was compiled or patched in the layers.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start at the weights of `model`. `decay` is the largest decay per step; see `update`."""
        self._decay, self.steps = decay, 0
        state = model.state_dict().items()
        self._own = {name: tensor for name, tensor in state if tensor.is_floating_point()}
        self._averages = {name: tensor.clone() for name, tensor in self._own.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the averages.

        In the first steps the averages follow the weights faster, as in TensorFlow's
        ExponentialMovingAverage, so that the initial weights soon have little influence.
        """
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self._averages.values()), list(self._own.values()), None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Copy the averages into the model, and restore its own weights at the end."""
        own = {name: tensor.clone() for name, tensor in self._own.items()}
        _copy(self._averages, self._own)
        try:
            yield
        finally:
            _copy(own, self._own)

    def state_dict(self) -> dict[str, object]:
        """Return the state for `load_state_dict`."""
        return {"steps": self.steps, "averages": self._averages}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Restore the state that `state_dict` returned."""
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        _copy(state["averages"], self._averages)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
