"""What one batch of episodes does to the weights: losses, gradient, optimiser step, average."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.training.averaging import WeightAverage
from d24fad_lite.training.cache import TeacherCache
from d24fad_lite.training.episodes import EpisodeBatch
from d24fad_lite.training.settings import FitSettings

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Learner:
    """Model, optimiser and averaged weights of one run, fed from teacher features that are computed once.

    Parameters
    ----------
    model : D24FAD, on the accelerator's device.
    cache : TeacherCache of the training images, in the order that episodes count them.
    settings : FitSettings
    accelerator : Accelerator
    """

    def __init__(self, model: D24FAD, cache: TeacherCache, settings: FitSettings, accelerator: Accelerator) -> None:
        self.model, self.cache, self.accelerator = model, cache, accelerator
        learnable = [p for p in model.parameters() if p.requires_grad]
        raw = OPTIMIZERS[settings.optimizer](learnable, lr=settings.lr, betas=settings.betas)
        self._wrapped, self._optimizer = accelerator.prepare(model, raw)
        self.average = WeightAverage(model, settings.ema) if settings.ema else None

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser itself, without what Accelerate wraps around it."""
        return getattr(self._optimizer, "optimizer", self._optimizer)

    def set_rate(self, rate: float) -> None:
        """Use this learning rate from the next step on."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def step(self, batch: EpisodeBatch, share: float = 1.0) -> np.ndarray:
        """One optimiser step; loss, loss_tsd and loss_ssd before it, float64 [3].

        share : weight of this process's mean loss, so that the mean over processes is that over all queries.
        """
        self._optimizer.zero_grad(set_to_none=True)
        loss, tsd, ssd = self.losses(batch)
        self.accelerator.backward(loss * share if share != 1 else loss)
        self._optimizer.step()
        if self.average is not None:
            self.average.update()
        return np.array([loss.item(), tsd.item(), ssd.item()])

    def losses(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor, Tensor]:
        """loss, loss_tsd and loss_ssd of a batch, each a scalar."""
        device = self.accelerator.device
        query = _to(self.cache.features(batch.queries), device)
        with self.accelerator.autocast():
            if batch.support_rows is not None:
                out = self._wrapped(query, support_rows=torch.as_tensor(batch.support_rows, device=device))
            else:
                supports = self.cache.features(batch.supports.ravel(), embedding_only=True)  # K*B, support by support
                out = self._wrapped(query, _to(supports, device))
        return out.loss, out.loss_tsd, out.loss_ssd

    @torch.no_grad()
    def validate(self, batches: Sequence[EpisodeBatch]) -> float:
        """Mean loss over the queries of fixed batches, with the weights that `fit` would return; NaN without any."""
        if not batches:
            return math.nan
        self.model.eval()
        with self.averaged():
            losses = [(len(batch), float(self.losses(batch)[0])) for batch in batches]
        self.model.train()
        return sum(n * loss for n, loss in losses) / sum(n for n, _ in losses)

    def averaged(self) -> AbstractContextManager[None]:
        """Within it the model is what `fit` would return if this epoch were the last."""
        return self.average.applied() if self.average is not None else nullcontext()

    def snapshot(self) -> dict[str, Tensor]:
        """A copy, on the CPU, of the weights that `fit` would return now."""
        with self.averaged():
            return {name: tensor.detach().cpu().clone() for name, tensor in self.model.trainable_state_dict().items()}

    def unwrap(self) -> None:
        """Take off what Accelerate put around the model's forward."""
        self.accelerator.unwrap_model(self._wrapped, keep_fp32_wrapper=False)


def _to(features: TeacherFeatures, device: torch.device) -> TeacherFeatures:
    return TeacherFeatures([level.to(device) for level in features.levels], features.embedding.to(device))
