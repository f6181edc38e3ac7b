"""Learn-to-weight (L2W): how much each support counts for a query, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d24fad_lite.model.losses import vec


class LearnToWeight(nn.Module):
    """Attention of the query over its supports, one softmax per level.

    With phi_l a 1x1 convolution C_l -> C_l (state-dict names `proj_in1` .. `proj_inL`, fine to coarse):

        a_k = <vec g_l(q), vec phi_l(g_l(s_k))> / sqrt(C_l),    w = softmax_k(a)

    Parameters
    ----------
    channels : sequence of int
        C_l per level, fine to coarse.
    scale : {"channels", "elements"}
        Divisor sqrt(C_l), or sqrt(C_l·H_l·W_l), see `D24FADConfig.attention_scale`.
    kind : {"learned", "mean", "nearest", "single"}
        The method, or an ablation of it, see `D24FADConfig.weighting`.
    temperature : float
        Further divisor, > 0.
    """

    def __init__(
        self, channels: Sequence[int], scale: str = "channels", kind: str = "learned", temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.scale, self.kind, self.temperature = scale, kind, temperature
        for level, width in enumerate(channels, start=1):
            self.add_module(f"proj_in{level}", nn.Conv2d(width, width, 1))

    def keys(self, supports: Sequence[Tensor]) -> list[Tensor]:
        """phi_l of the supports' features, per level [N, C_l, H_l, W_l]; computed once per support set."""
        return [self.get_submodule(f"proj_in{i}")(level) for i, level in enumerate(supports, start=1)]

    def forward(self, query: Tensor, supports: Tensor, keys: Tensor, support_rows: Tensor | None = None) -> Tensor:
        """Weights of one level.

        Parameters
        ----------
        query, supports, keys : Tensor [B, C, H, W], [N, C, H, W], [N, C, H, W]
        support_rows : Tensor of int64 [K, B], optional
            Which of the N supports belong to each query; default: all N to every query.

        Returns
        -------
        Tensor [B, K], each row sums to 1.
        """
        q, s, k = vec(query), vec(supports), vec(keys)  # (B, HWC), (N, HWC), (N, HWC)
        if self.kind == "nearest":
            logits = F.normalize(q, dim=1) @ F.normalize(s, dim=1).T  # (B, N)
        else:
            count = query.shape[1] if self.scale == "channels" else q.shape[1]
            logits = q @ k.T / (count**0.5 * self.temperature)  # (B, N)
        if support_rows is not None:
            logits = logits.gather(1, support_rows.T)  # (B, K)
        if self.kind == "learned":
            return logits.softmax(dim=1)  # (B, K)
        if self.kind == "mean":
            return torch.full_like(logits, 1 / logits.shape[1])
        chosen = logits.argmax(dim=1) if self.kind == "nearest" else logits.new_zeros(len(logits), dtype=torch.long)
        return F.one_hot(chosen, logits.shape[1]).to(logits.dtype)  # (B, K)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # A bias adds the same <g(q), b> to every a_k, so it leaves the softmax as it is: checkpoints without one fit.
        for name, projection in self.named_children():
            if f"{prefix}{name}.weight" in state_dict:
                weight = cast(nn.Conv2d, projection).weight  # `__init__` adds nothing but convolutions
                state_dict.setdefault(f"{prefix}{name}.bias", torch.zeros_like(weight[:, 0, 0, 0]))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def effective_number(weights: Tensor | np.ndarray) -> np.ndarray:
    """Effective number of supports, 1 / sum_k w_k² (Kish's effective sample size).

    It is K when all supports count alike, and 1 when one decides alone.

    Parameters
    ----------
    weights : float [..., K]
        Weights that sum to 1 over the last axis, such as `Prediction.weights` [B, L, K].

    Returns
    -------
    float64 [...], in 1..K
    """
    w = np.asarray(weights.detach().cpu() if isinstance(weights, Tensor) else weights, np.float64)
    return 1 / (w**2).sum(axis=-1)
