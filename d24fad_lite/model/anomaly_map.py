"""From residuals per level to the anomaly map and the image score; every image by itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.features import QueryFeatures, SupportBank
from d24fad_lite.model.losses import residual
from d24fad_lite.model.matching import compared_pairs, matched_residual

TRUNCATE = 4.0  # the kernel reaches this many standard deviations, as in scipy.ndimage


def unblurred_map(config: D24FADConfig, queries: QueryFeatures, bank: SupportBank, weights: list[Tensor]) -> Tensor:
    """The anomaly map of B queries before its blur -> [B, S, S]: the residuals that `map_source` names, added.

    weights : L of [B, K], how much each of the K supports counts for each query.
    """
    c = config
    residuals = []
    if c.map_source != "tsd":  # query against supports
        for levels, support_levels in compared_pairs(c, queries, bank):
            residuals += [
                matched_residual(q, s, w, matching=c.matching, radius=c.match_radius, fusion=c.fusion)
                for q, s, w in zip(levels, support_levels, weights, strict=True)
            ]
    if c.map_source != "ssd":  # student against teacher
        residuals += [residual(f, g) for f, g in zip(queries.teacher, queries.student, strict=True)]
    return sum_levels(residuals, c.image_size, c.align_corners)


def sum_levels(residuals: list[Tensor], image_size: int, align_corners: bool = True) -> Tensor:
    """Bring residuals [B, H_l, W_l] to the image (bilinear) and add them -> [B, S, S].

    align_corners : corner pixels on corner pixels (released code), else edges on edges, as `D24FADConfig` says.
    """
    size = (image_size, image_size)
    upsampled = [
        F.interpolate(r.unsqueeze(1), size=size, mode="bilinear", align_corners=align_corners) for r in residuals
    ]
    return torch.stack(upsampled).sum(dim=0).squeeze(1)  # (B, S, S)


def gaussian_blur(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of each map [B, H, W], sigma in pixels, edges mirrored (scipy.ndimage's mode "reflect").

    The batch axis is never blurred: the released code filters the [B, H, W] stack and so mixes neighbouring images.
    """
    if sigma == 0:
        return maps
    radius = int(TRUNCATE * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = maps.unsqueeze(1)  # (B, 1, H, W)
    x = F.conv2d(x[:, :, _mirrored(maps.shape[1], radius, maps.device)], kernel.view(1, 1, -1, 1))
    x = F.conv2d(x[..., _mirrored(maps.shape[2], radius, maps.device)], kernel.view(1, 1, 1, -1))
    return x.squeeze(1)  # (B, H, W)


def image_score(maps: Tensor, kind: str = "max", top_share: float = 0.1) -> Tensor:
    """Image scores [B] of blurred anomaly maps [B, H, W].

    Parameters
    ----------
    kind : {"max", "mean", "top"}: of a map its maximum, its mean, or the mean of its highest pixels
    top_share : float, above 0, up to 1: how many pixels "top" takes, as a share of all, at least one
    """
    if kind == "top":
        flat = maps.flatten(1)
        return flat.topk(max(1, int(top_share * flat.shape[1] + 0.5)), dim=1).values.mean(dim=1)
    return maps.amax(dim=(1, 2)) if kind == "max" else maps.mean(dim=(1, 2))


def _mirrored(length: int, radius: int, device: torch.device) -> Tensor:
    """Positions -radius .. length-1+radius, mirrored with the edge repeated: c b a | a b c | c b a."""
    period = 2 * length
    positions = torch.arange(-radius, length + radius, device=device) % period
    return torch.where(positions < length, positions, period - 1 - positions)


def color_limits(normal_maps: Tensor) -> tuple[float, float]:
    """The colour scale (low, high) that maps of normal images [N, S, S] set for all others of a task.

    A scale per image would paint something red on every healthy one. So nothing is painted at or below the median of
    the normal maps, half strength is the highest value that any of them reaches, full strength is as far again.
    """
    values = normal_maps.float().cpu().numpy()
    middle, top = float(np.median(values)), float(values.max())
    return middle, middle + 2 * max(top - middle, 1e-6)
