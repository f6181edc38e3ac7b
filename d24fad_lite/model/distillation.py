"""The losses of both distillations: teacher to student (TSD), and within the student, supports to query (SSD)."""

from __future__ import annotations

import torch
from torch import Tensor

from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.features import D24FADOutput, TeacherFeatures, in_float32
from d24fad_lite.model.losses import distillation_loss, fuse, level_distance, support_distance
from d24fad_lite.model.weighting import LearnToWeight


def distil(
    config: D24FADConfig,
    weighting: LearnToWeight,
    query: TeacherFeatures,
    g_query: list[Tensor],
    g_support: list[Tensor],
    support_rows: Tensor | None = None,
) -> D24FADOutput:
    """Both losses of a batch of queries whose features, and those of their supports, are computed.

    With f_l the teacher's levels, g_l the student's, w the weights of learn-to-weight and d the distance:
    TSD = sum_l mean_B d(f_l(q), g_l(q)),  SSD = sum_l mean_B d(g_l(q), sum_k w_k g_l(s_k)).

    Parameters
    ----------
    query : TeacherFeatures of B queries
    g_query, g_support : list of Tensor [B, C_l, H_l, W_l] and [N, C_l, H_l, W_l], the student's levels
    support_rows : Tensor of int64 [K, B], which of the N supports belong to each query; default: all to every query
    """
    c = config
    if c.stop_gradient:  # before the keys, so that learn-to-weight itself still learns
        g_support = [s.detach() for s in g_support]
    keys = weighting.keys(g_support)
    with torch.autocast(query.embedding.device.type, enabled=False):  # cosines and softmax in full precision
        f, g, s, k = (in_float32(part) for part in (query.levels, g_query, g_support, keys))
        weights = [weighting(*level, support_rows) for level in zip(g, s, k, strict=True)]  # L of (B, K)
        tsd = distillation_loss([level_distance(fl, gl, c.distance) for fl, gl in zip(f, g, strict=True)])
        to_supports = [
            support_distance(gl, sl, wl, support_rows, c.distance, c.fusion)
            for gl, sl, wl in zip(g, s, weights, strict=True)
        ]  # L of (B,)
        ssd = distillation_loss(to_supports)
        fused = [fuse(sl, wl, support_rows) for sl, wl in zip(s, weights, strict=True)]
    loss = c.lambda_ssd * ssd + c.lambda_tsd * tsd
    return D24FADOutput(loss, tsd, ssd, torch.stack(weights, dim=1), g, s, fused, query, support_rows)
