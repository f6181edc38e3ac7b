"""Cosine distances between feature maps: the losses of both distillations, and the residuals of the anomaly map."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-8  # length below which a vector has no direction, and cosine 0 with everything


def level_distance(a: Tensor, b: Tensor, distance: str = "flattened") -> Tensor:
    """Distance of two feature maps [B, C, H, W] -> [B], in 0..2.

    `"flattened"`: 1 - cos(vec a, vec b), one cosine per level (released code). `"pointwise"`: 1 - cos over the
    channels at each position, averaged over positions (paper).
    """
    if distance == "flattened":
        return 1 - _cosine(vec(a), vec(b))  # (B,)
    return residual(a, b).mean(dim=(1, 2))  # (B,)


def residual(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos over the channels at each position: what a level adds to the anomaly map.

    Parameters
    ----------
    a, b : float [B, C, H, W]
        Two feature maps of the same shape.

    Returns
    -------
    float [B, H, W], in 0..2
    """
    return 1 - _cosine(a, b)


def vec(levels: Tensor) -> Tensor:
    """All values of each map as one row: [N, C, H, W] -> [N, H*W*C], a view where channels lie last in memory."""
    return levels.permute(0, 2, 3, 1).flatten(1)


def fuse(supports: Tensor, weights: Tensor, support_rows: Tensor | None = None) -> Tensor:
    """The fused support h = sum_k w_k g(s_k) of learn-to-weight, at one level.

    Parameters
    ----------
    supports : float [N, C, H, W]
        Student features of the supports.
    weights : float [B, K]
        Weights of the K supports of each query; each row sums to 1.
    support_rows : int64 [K, B], optional
        Which of the N supports belong to each query; default: all N (then N = K) belong to every query.

    Returns
    -------
    float [B, C, H, W]
    """
    if support_rows is not None:
        dense = weights.new_zeros(weights.shape[0], supports.shape[0])
        weights = dense.scatter_add(1, support_rows.T, weights)  # (B, N): a support drawn twice gets both its weights
    channels, height, width = supports.shape[1:]
    fused = weights @ vec(supports)  # (B, HWC)
    return fused.view(-1, height, width, channels).permute(0, 3, 1, 2)


def support_distance(
    query: Tensor,
    supports: Tensor,
    weights: Tensor,
    support_rows: Tensor | None = None,
    distance: str = "flattened",
    fusion: str = "features",
) -> Tensor:
    """Distance of queries to their weighted supports: one level of SSD, before the mean over the batch.

    Parameters
    ----------
    query : float [B, C, H, W]
        Student features of the queries.
    supports, weights, support_rows
        As of `fuse`.
    distance : {"flattened", "pointwise"}, default "flattened"
        One cosine per level (released code); or one per position, averaged (paper).
    fusion : {"features", "distances"}, default "features"
        Weight the supports and compare with their sum (released code); or compare with each support and weight the K
        distances (paper).

    Returns
    -------
    float [B], in 0..2

    Notes
    -----
    With `fusion="distances"`, `sum_k w_k (1 - cos(q, s_k)) = 1 - <q/|q|, sum_k w_k s_k/|s_k|>`: one product with the
    fused unit vectors gives the K distances without K comparisons.
    """
    if fusion == "features":
        return level_distance(query, fuse(supports, weights, support_rows), distance)
    if distance == "pointwise":
        return support_residual(query, supports, weights, support_rows, fusion).mean(dim=(1, 2))
    units = fuse(_unit(supports, (1, 2, 3)), weights, support_rows)
    return 1 - torch.linalg.vecdot(vec(_unit(query, (1, 2, 3))), vec(units))  # (B,)


def support_residual(
    query: Tensor, supports: Tensor, weights: Tensor, support_rows: Tensor | None = None, fusion: str = "features"
) -> Tensor:
    """Residual of queries [B, C, H, W] to their weighted supports at each position -> [B, H, W]."""
    if fusion == "features":
        return residual(query, fuse(supports, weights, support_rows))
    return 1 - torch.linalg.vecdot(_unit(query), fuse(_unit(supports), weights, support_rows), dim=1)  # (B, H, W)


def distillation_loss(distances: list[Tensor]) -> Tensor:
    """sum over levels of the mean over the batch: per-level distances [B] -> scalar."""
    return torch.stack([d.mean() for d in distances]).sum()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> / (|a| |b|) along dimension 1, with fewer trips through memory than F.cosine_similarity."""
    lengths = [torch.linalg.vector_norm(x, dim=1).clamp_min(SMALLEST) for x in (a, b)]
    return torch.linalg.vecdot(a, b, dim=1) / (lengths[0] * lengths[1])


def _unit(x: Tensor, dim: int | tuple[int, ...] = 1) -> Tensor:
    """x / |x| along these dimensions."""
    return x / torch.linalg.vector_norm(x, dim=dim, keepdim=True).clamp_min(SMALLEST)
