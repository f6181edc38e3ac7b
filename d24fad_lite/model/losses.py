"""Cosine distances between feature maps: the losses of both distillations, and the residuals of the anomaly map."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def level_distance(a: Tensor, b: Tensor, distance: str = "flattened") -> Tensor:
    """Distance of two feature maps [B, C, H, W] -> [B], in 0..2.

    `"flattened"`: 1 - cos(vec a, vec b), one cosine per level (released code). `"pointwise"`: 1 - cos over the
    channels at each position, averaged over positions (paper).
    """
    if distance == "flattened":
        return 1 - F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)  # (B,)
    return residual(a, b).mean(dim=(1, 2))  # (B,)


def residual(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos over the channels at each position: [B, C, H, W] twice -> [B, H, W], in 0..2."""
    return 1 - F.cosine_similarity(a, b, dim=1)


def fuse(supports: Tensor, weights: Tensor, rows: Tensor | None = None) -> Tensor:
    """Weighted sum of supports [N, C, H, W] with weights [B, K] -> [B, C, H, W]; `rows` as in `LearnToWeight`."""
    if rows is not None:
        dense = weights.new_zeros(weights.shape[0], supports.shape[0])
        weights = dense.scatter_add(1, rows.T, weights)  # (B, N): a support drawn twice gets both its weights
    fused = weights @ supports.flatten(1)  # (B, CHW)
    return fused.view(len(weights), *supports.shape[1:])


def support_distance(query: Tensor, supports: Tensor, weights: Tensor, rows: Tensor | None = None,
                     distance: str = "flattened", fusion: str = "features") -> Tensor:
    """Distance of queries [B, C, H, W] to their weighted supports [N, C, H, W] -> [B]: one level of SSD.

    With `fusion="distances"`, sum_k w_k (1 - cos(q, s_k)) = 1 - <q/|q|, sum_k w_k s_k/|s_k|>: the K distances need
    one product with the fused unit vectors, not K comparisons.
    """
    if fusion == "features":
        return level_distance(query, fuse(supports, weights, rows), distance)
    if distance == "pointwise":
        return support_residual(query, supports, weights, rows, fusion).mean(dim=(1, 2))
    units = fuse(_unit(supports.flatten(1)).view_as(supports), weights, rows)
    return 1 - (_unit(query.flatten(1)) * units.flatten(1)).sum(dim=1)  # (B,)


def support_residual(query: Tensor, supports: Tensor, weights: Tensor, rows: Tensor | None = None,
                     fusion: str = "features") -> Tensor:
    """Residual of queries [B, C, H, W] to their weighted supports at each position -> [B, H, W]."""
    if fusion == "features":
        return residual(query, fuse(supports, weights, rows))
    return 1 - (_unit(query) * fuse(_unit(supports), weights, rows)).sum(dim=1)  # (B, H, W)


def distillation_loss(distances: list[Tensor]) -> Tensor:
    """sum over levels of the mean over the batch: per-level distances [B] -> scalar."""
    return torch.stack([d.mean() for d in distances]).sum()


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=1, eps=1e-8)
