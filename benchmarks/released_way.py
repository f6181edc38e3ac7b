"""A straightforward way to run the method, after the description of the released code; what `speed.py` compares with.

Networks and weights are the kit's own, so that results are equal; the way of running is the released one: supports are
encoded again for each query batch, for every query; memory is laid out as PyTorch does by default; the frozen teacher
takes part in autograd while training; SciPy blurs the maps in a loop (over single images, so that scores are equal).
"""

from __future__ import annotations

import copy

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

from d24fad_lite import D24FAD
from d24fad_lite.model.speed.folding import no_folding


class ReleasedWay:
    """Evaluation and training steps on copies of a detector's networks, contiguous in memory."""

    def __init__(self, model: D24FAD, lr: float = 1e-4) -> None:
        self.config = model.config
        self.mean, self.std = model.teacher.mean, model.teacher.std
        self.teacher = _contiguous(model.teacher.backbone).eval().requires_grad_(True)
        self.student = _contiguous(model.student)
        self.weighting = _contiguous(model.weighting)
        learnable = [*self.student.parameters(), *self.weighting.parameters()]
        self.optimizer = torch.optim.Adam(learnable, lr=lr, betas=(0.5, 0.999))

    def encode(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher and student levels of images [B, 3, S, S]."""
        if self.config.normalize:
            images = (images - self.mean) / self.std
        with no_folding():
            *levels, embedding = self.teacher(images)
            return levels, self.student(embedding)

    def weigh(self, query: list[Tensor], supports: list[list[Tensor]]) -> list[Tensor]:
        """Fused supports h_l [B, C, H, W] of K supports' levels, K of [B, C, H, W] per level."""
        fused = []
        for level, g in enumerate(query):
            project = self.weighting.get_submodule(f"proj_in{level + 1}")
            logits = [(g * project(s[level])).flatten(1).sum(dim=1) / g.shape[1] ** 0.5 for s in supports]
            weights = torch.stack(logits, dim=1).softmax(dim=1)  # (B, K)
            fused.append(sum(weights[:, k, None, None, None] * s[level] for k, s in enumerate(supports)))
        return fused

    def score(self, queries: Tensor, supports: Tensor) -> Tensor:
        """Image scores [B] of queries [B, 3, S, S] against supports [K, 3, S, S]."""
        self.student.eval()
        with torch.no_grad():
            _, g = self.encode(queries)
            encoded = [self.encode(image.expand_as(queries).contiguous())[1] for image in supports]
            total = torch.zeros(len(queries), *queries.shape[2:])
            for mine, theirs in zip(g, self.weigh(g, encoded), strict=True):
                residual = 1 - F.cosine_similarity(mine, theirs, dim=1)
                total += F.interpolate(residual[:, None], size=queries.shape[2:], mode="bilinear", align_corners=True)[
                    :, 0
                ]
        maps = [gaussian_filter(image, sigma=self.config.blur_sigma) for image in total.numpy()]
        return torch.tensor([float(image.max()) for image in maps])

    def losses(self, queries: Tensor, supports: Tensor) -> Tensor:
        """Loss of queries [B, 3, S, S] with supports of their own [K, B, 3, S, S]."""
        self.student.train()
        f, g = self.encode(queries)
        fused = self.weigh(g, [self.encode(images)[1] for images in supports])
        tsd = sum(_flat_distance(a, b) for a, b in zip(f, g, strict=True))
        ssd = sum(_flat_distance(a, b) for a, b in zip(g, fused, strict=True))
        return self.config.lambda_ssd * ssd + self.config.lambda_tsd * tsd

    def step(self, queries: Tensor, supports: Tensor) -> float:
        """One optimiser step; gradients flow through the teacher as well, though nothing uses them."""
        self.optimizer.zero_grad()
        self.teacher.zero_grad()
        loss = self.losses(queries, supports)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def _contiguous(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module)
    for tensor in twin.parameters():  # cloned, as a 1x1 kernel passes for contiguous with either layout's strides
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return twin


def _flat_distance(a: Tensor, b: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)).mean()
