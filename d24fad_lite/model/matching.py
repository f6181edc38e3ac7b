"""What the anomaly map compares a query with, beyond the published reading; every switch here is off by default.

D²4FAD compares each position of the query with the same position of the weighted supports, in the student's features.
Anatomy moves: a heart that lies two positions further left is then an anomaly. And the student can only show what it
has learnt to draw. So there are two changes within the method's spirit, both read when an image is scored:

- *where*: each position may look for its counterpart within a window (`match_radius`), and take the support that fits
  best there, or the subspace the supports span, in place of their weighted sum (`matching`);
- *in which features* (`compare_in`): the student's, the teacher's, or the sum of both residuals.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.features import QueryFeatures, SupportBank
from d24fad_lite.model.losses import fuse, support_residual

RIDGE = 1e-3  # of the subspace's Gram matrix of unit vectors: equal supports leave it solvable
NOWHERE = -2.0  # below every cosine
CHUNK_VALUES = 2**22  # cosines held at once: 16 MiB of float32 stay near the processor


def matched_residual(
    query: Tensor,
    supports: Tensor,
    weights: Tensor,
    *,
    matching: str = "weighted",
    radius: float = 0.0,
    fusion: str = "features",
) -> Tensor:
    """Residual of queries [B, C, H, W] to K supports [K, C, H, W] at each position -> [B, H, W], in 0..2.

    With W(p) the positions at most `radius` (share of the grid's side) from p, at least p itself:

        weighted, fusion "features"    min over p' in W(p) of  1 - cos(q_p, sum_k w_k s_k,p')
        weighted, fusion "distances"   sum_k w_k  min over p' in W(p) of  1 - cos(q_p, s_k,p')
        nearest                        min over k and p' in W(p) of  1 - cos(q_p, s_k,p')
        subspace                       1 - |P_p q_p| / |q_p|,  P_p the projection on the span of s_1,p .. s_K,p

    weights : Tensor [B, K], used by "weighted" alone. "weighted" with radius 0 is the method's own residual.
    """
    if matching == "subspace":
        return subspace_residual(query, supports)
    if matching == "nearest":
        return 1 - largest_cosine(query, supports, radius).amax(dim=1)
    if radius == 0:
        return support_residual(query, supports, weights, None, fusion)
    if fusion == "distances":
        return 1 - (weights[:, :, None, None] * largest_cosine(query, supports, radius)).sum(dim=1)
    fused = fuse(supports, weights)  # (B, C, H, W), one for each query
    return torch.cat([1 - largest_cosine(query[i : i + 1], fused[i : i + 1], radius)[:, 0] for i in range(len(query))])


def compared_pairs(
    config: D24FADConfig, queries: QueryFeatures, bank: SupportBank
) -> list[tuple[list[Tensor], list[Tensor]]]:
    """(levels of the queries, levels of the supports) for each kind of features that `compare_in` names.

    Raises ValueError where the bank or the queries were encoded without the teacher's levels.
    """
    pairs = []
    if config.compare_in != "teacher":
        pairs.append((queries.student, bank.levels))
    if config.compare_in != "student":
        if not bank.teacher or not queries.teacher:
            lacking = "bank of supports" if not bank.teacher else "queries"
            raise ValueError(
                f"compare_in={config.compare_in!r} needs the teacher's levels, and the {lacking} came "
                "without them; encode the images again with this model"
            )
        pairs.append((queries.teacher, bank.teacher))
    return pairs


def largest_cosine(query: Tensor, supports: Tensor, radius: float = 0.0) -> Tensor:
    """Largest cosine of each query position within the window around it in each support.

    [B, C, H, W] and [K, C, H, W] -> [B, K, H, W]. Windows end at the border: nothing is padded into the comparison.
    """
    batch, channels, height, width = query.shape
    down, right = reach(radius, height), reach(radius, width)
    if (down, right) == (height - 1, width - 1):
        return _largest_anywhere(query, supports)
    q = F.normalize(query, dim=1, eps=1e-8).permute(2, 3, 0, 1).reshape(height * width, batch, channels)
    s = F.normalize(supports, dim=1, eps=1e-8).permute(2, 3, 1, 0)  # (H, W, C, K)
    s = F.pad(s, (0, 0, 0, 0, right, right, down, down))
    inside = F.pad(s.new_ones(height, width), (right, right, down, down)) > 0
    best = q.new_full((height * width, batch, len(supports)), NOWHERE)
    for top in range(2 * down + 1):
        for left in range(2 * right + 1):
            there = s[top : top + height, left : left + width].reshape(height * width, channels, -1)
            exists = inside[top : top + height, left : left + width].reshape(-1, 1, 1)
            best = torch.maximum(best, torch.where(exists, torch.bmm(q, there), NOWHERE))
    return best.view(height, width, batch, -1).permute(2, 3, 0, 1)  # (B, K, H, W)


def _largest_anywhere(query: Tensor, supports: Tensor) -> Tensor:
    """`largest_cosine` with the whole grid as the window: one matrix product for each support."""
    batch, _, height, width = query.shape
    q = F.normalize(query, dim=1, eps=1e-8).permute(0, 2, 3, 1).flatten(0, 2)  # (BHW, C)
    s = F.normalize(supports, dim=1, eps=1e-8).flatten(2)  # (K, C, HW)
    parts = q.split(max(1, CHUNK_VALUES // (height * width)))
    best = torch.stack([torch.cat([(part @ own).amax(dim=1) for part in parts]) for own in s])  # (K, BHW)
    return best.view(-1, batch, height, width).transpose(0, 1)


def reach(radius: float, side: int) -> int:
    """Positions that a radius, given as a share of the side, reaches in each direction on a grid of this side."""
    return min(int(radius * side + 0.5), side - 1)


def subspace_residual(query: Tensor, supports: Tensor) -> Tensor:
    """1 - cos between each query vector and its projection on the supports' vectors at that position -> [B, H, W].

    With the unit vectors of the K supports as columns of A: |P q|² = (A'q)' (A'A)^-1 (A'q) for a unit vector q.
    """
    q = F.normalize(query, dim=1, eps=1e-8).permute(2, 3, 0, 1)  # (H, W, B, C)
    a = F.normalize(supports, dim=1, eps=1e-8).permute(2, 3, 1, 0)  # (H, W, C, K)
    gram = a.mT @ a + RIDGE * torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)  # (H, W, K, K)
    products = (q @ a).mT  # (H, W, K, B)
    squared = (products * torch.linalg.solve(gram, products)).sum(dim=2)  # (H, W, B)
    return 1 - squared.clamp(0, 1).sqrt().permute(2, 0, 1)
