"""The student of `few_normals_student.py`: a small network between residuals and lesions, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from few_normals_rows import Rows
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, RATE, DECAY, DROPPED, TOP = 48, 2e-3, 1e-2, 0.1, 0.1


@dataclass(frozen=True)
class Size:
    """How long a student is trained: optimiser steps, rows a step, and procedural tasks for each seed."""

    steps: int
    batch: int
    procedural: int


SIZES = {"small": Size(200, 64, 70), "full": Size(400, 128, 200)}


class Student(nn.Module):
    """Residuals of all levels and maps of distances in, a map of lesions and an image score out.

    The image score is a sum of the frozen score and of what is learned; the latter begins at nothing.
    """

    def __init__(self, channels: Sequence[int], maps: int, facts: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(count, WIDTH, 1) for count in channels)
        self.join = nn.Conv2d(WIDTH + maps, WIDTH, 3, padding=1, padding_mode="replicate")
        self.around = nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2, padding_mode="replicate")
        self.lesion = nn.Conv2d(WIDTH, 1, 1)
        self.image = nn.Linear(facts + 2 * (WIDTH + 1), 1)
        nn.init.zeros_(self.image.weight)
        self.register_buffer("mean", torch.zeros(facts))
        self.register_buffer("spread", torch.ones(facts))

    def standardise(self, facts: Tensor) -> None:
        """Take mean and spread of the facts [N, D] of the training rows."""
        self.mean.copy_(facts.mean(dim=0))
        self.spread.copy_(facts.std(dim=0).clamp_min(1e-3))

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Image scores [N] and maps [N, H, W], both logits."""
        size = rows.maps.shape[2:]
        x = torch.zeros((), device=rows.maps.device)
        for level, project in zip(rows.levels, self.project, strict=True):
            seen = F.dropout2d(level.float(), DROPPED, self.training)
            x = x + F.interpolate(project(seen), size=size, mode="bilinear", align_corners=False)
        x = F.gelu(self.join(torch.cat([F.gelu(x), rows.maps.float()], dim=1)))
        x = F.gelu(self.around(x))
        places = torch.cat([x, self.lesion(x)], dim=1)
        flat = places.flatten(2)
        top = flat.topk(max(1, round(TOP * flat.shape[2])), dim=2).values.mean(dim=2)
        facts = (rows.facts - self.mean) / self.spread
        return facts[:, -1] + self.image(torch.cat([facts, flat.mean(dim=2), top], dim=1))[:, 0], places[:, -1]


def trained(rows: Rows, weights: Tensor, seed: int, size: Size) -> Student:
    """A student trained on rows, which are drawn with these weights [N]; normal and anomalous ones count the same."""
    device = rows.maps.device
    torch.manual_seed(seed)
    student = Student([level.shape[1] for level in rows.levels], rows.maps.shape[1], rows.facts.shape[1]).to(device)
    student.standardise(rows.facts[weights > 0])
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=size.steps)
    ill = rows.labels == 1
    chances = torch.stack([weights * ill / (weights * ill).sum(), weights * ~ill / (weights * ~ill).sum()]).sum(dim=0)
    order = torch.multinomial(chances, size.steps * size.batch, replacement=True).view(-1, size.batch)
    for chosen in order:
        batch = rows.select(chosen)
        scores, maps = student(batch)
        loss = F.binary_cross_entropy_with_logits(scores, batch.labels)
        loss = loss + F.binary_cross_entropy_with_logits(maps, batch.masks.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        rate.step()
    return student.eval()
