"""What the processes of `test_processes.py` do; importable by them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from d24fad_lite.training.processes import batch_norms_over_processes, joined_batch_norm

SIZES = (5, 3)  # images of the two parts of a batch


def batch() -> torch.Tensor:
    """The whole batch, float64 [8, 4, 3, 3], far from zero so that cancellation would show."""
    return torch.randn(sum(SIZES), 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 50


def norms() -> nn.Sequential:
    """Two batch norms with a nonlinearity between them."""
    torch.manual_seed(1)
    made = nn.Sequential(nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).double()
    nn.init.normal_(made[0].weight)
    return made


def loss_of(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A sum over images, so that parts add up."""
    return (y.sin() * x.cos()).sum()


def work(rank: int, folder: str) -> None:
    """One process: its part forwards and backwards; writes what it found."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    part = batch().split(SIZES)[rank].clone().requires_grad_()
    model = norms()
    with batch_norms_over_processes(model, 2):
        model.train()
        y = model(part)
        loss_of(y, part).backward()
        half = nn.BatchNorm2d(1)
        half.forward = partial(joined_batch_norm, half)
        many = torch.full(
            (40, 1, 64, 64), 1.0 + rank
        ).half()  # 327,680 values: neither they nor their number fit in half
        found_half = half(many)
    found = {"half": found_half.detach(), "y": y.detach(), "x": part.grad, "state": model.state_dict()}
    gradients = {name: p.grad for name, p in model.named_parameters()}
    torch.save(found | {"gradients": gradients}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
