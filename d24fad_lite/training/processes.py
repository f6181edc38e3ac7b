"""Training on several processes as if on one: batch norms see the whole batch, wherever its parts are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


@contextmanager
def batch_norms_over_processes(model: nn.Module, processes: int) -> Iterator[None]:
    """Within it every batch norm of the model takes mean and variance over the parts of all processes together.

    With one process nothing changes. PyTorch's `SyncBatchNorm` does the same on GPUs alone; this works wherever
    `torch.distributed` does, with the same parameters, buffers and names.

    Parameters
    ----------
    model : Module
    processes : int
        Of the run; each has to call the same batch norms in the same order.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)] if processes > 1 else []
    for norm in norms:
        norm.forward = partial(joined_batch_norm, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def joined_batch_norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """What `norm` gives for this process's part [n, C, H, W] of a batch; in eval mode nothing is joined.

    Two passes, mean and then variance, so that nothing is lost to cancellation. Values, gradients and running
    statistics are those of the joined batch (Ioffe and Szegedy, ICML 2015).
    """
    if not norm.training:
        return nn.BatchNorm2d.forward(norm, x)
    wide = x if x.dtype == torch.float64 else x.float()  # sums of half-precision values would overflow
    sums = all_reduce(torch.cat([wide.sum(dim=(0, 2, 3)), wide.new_tensor([x.numel() / x.shape[1]])]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = wide - mean[None, :, None, None]
    variance = all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
    _remember(norm, mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
    scaled = centred * (variance + norm.eps).rsqrt()[None, :, None, None]
    if norm.affine:
        scaled = scaled * norm.weight[None, :, None, None] + norm.bias[None, :, None, None]
    return scaled.to(x.dtype)


@torch.no_grad()
def _remember(norm: nn.BatchNorm2d, mean: Tensor, unbiased: Tensor) -> None:
    """Move the running statistics, as `BatchNorm2d` does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    share = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), share)


def is_main() -> bool:
    """Whether this is the process that writes and prints: the only one, or the first of several."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
