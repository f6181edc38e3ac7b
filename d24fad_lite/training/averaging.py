"""Averaged weights: a running mean of what training passes through, steadier than where it happens to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from d24fad_lite.model.detector import D24FAD

STEPS = "steps"


class WeightAverage:
    """Exponential moving average (EMA) of student and learn-to-weight, batch-norm statistics included.

    After step t (from 1), with d_t = min(decay, (t - 1) / t):

        average_t = d_t * average_{t-1} + (1 - d_t) * weights_t

    So the first 1 / (1 - decay) steps are a plain mean, without a trace of the initial weights, and then old steps
    fade. Whole numbers (batch norm's step counts) follow the weights.

    Parameters
    ----------
    model : D24FAD
        The detector in training; somebody else changes its weights.
    decay : float
        Above 0, below 1.
    """

    def __init__(self, model: D24FAD, decay: float) -> None:
        self.model, self.decay, self.steps = model, decay, 0
        self.average = {name: tensor.detach().clone() for name, tensor in model.trainable_state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after one optimiser step."""
        self.steps += 1
        decay = min(self.decay, (self.steps - 1) / self.steps)
        for name, tensor in self.model.trainable_state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model holds the averaged weights; afterwards those of the training again."""
        trained = {name: tensor.detach().clone() for name, tensor in self.model.trainable_state_dict().items()}
        self.apply()
        try:
            yield
        finally:
            self.model.load_trainable_state_dict(trained)

    def apply(self) -> None:
        """Leave the averaged weights in the model."""
        self.model.load_trainable_state_dict(self.average)

    def tensors(self) -> dict[str, Tensor]:
        """What `restore` needs, as flat tensors."""
        return self.average | {STEPS: torch.tensor(self.steps)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""
        self.steps = int(tensors[STEPS])
        for name, average in self.average.items():
            average.copy_(tensors[name])
