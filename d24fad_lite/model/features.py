"""What the detector passes around: features of queries, a bank of supports, and the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .teacher import TeacherFeatures


class QueryFeatures(NamedTuple):
    """Teacher and student levels of B queries, fine to coarse, each [B, C_l, H_l, W_l]."""

    teacher: list[Tensor]
    student: list[Tensor]

    def __len__(self) -> int:
        return self.student[0].shape[0]

    def index(self, rows: Tensor | slice) -> QueryFeatures:
        """The features of some of the queries."""
        return QueryFeatures([f[rows] for f in self.teacher], [g[rows] for g in self.student])


class SupportBank:
    """Student features and learn-to-weight keys of K supports, computed once and used for every query.

    Attributes
    ----------
    levels, keys : list of Tensor [K, C_l, H_l, W_l], fine to coarse
    teacher : the supports' teacher levels where the anomaly map compares in them (`compare_in`), else empty
    """

    def __init__(self, levels: Sequence[Tensor], keys: Sequence[Tensor], teacher: Sequence[Tensor] = ()) -> None:
        self.levels, self.keys, self.teacher = list(levels), list(keys), list(teacher)

    def __len__(self) -> int:
        return self.levels[0].shape[0]

    def __repr__(self) -> str:
        return f"SupportBank({len(self)} supports, levels {[tuple(g.shape[1:]) for g in self.levels]})"

    def select(self, indices: Sequence[int] | Tensor) -> SupportBank:
        """The bank of some of the supports, in the given order; nothing is encoded again."""
        rows = torch.as_tensor(indices, device=self.levels[0].device, dtype=torch.long)
        if len(rows) == 0:
            raise ValueError("select() got no indices; a bank needs at least one support")
        if int(rows.min()) < 0 or int(rows.max()) >= len(self):
            raise IndexError(f"select() got indices {rows.tolist()}, the bank has supports 0 to {len(self) - 1}")
        return SupportBank([g[rows] for g in self.levels], [k[rows] for k in self.keys],
                           [f[rows] for f in self.teacher])

    @classmethod
    def join(cls, banks: Sequence[SupportBank]) -> SupportBank:
        """One bank of several, in order: exchanging one support encodes one image."""
        if not banks:
            raise ValueError("join() got no banks; give at least one")
        return cls(*([torch.cat(level) for level in zip(*parts, strict=True)] for parts in
                     ([b.levels for b in banks], [b.keys for b in banks], [b.teacher for b in banks])))


class Prediction(NamedTuple):
    """Results for B queries."""

    score: Tensor  # [B], higher is more anomalous
    anomaly_map: Tensor  # [B, S, S], blurred
    weights: Tensor  # [B, L, K], each level sums to 1 over the supports


@dataclass
class D24FADOutput:
    """One training step's view."""

    loss: Tensor  # scalar, lambda_ssd * loss_ssd + lambda_tsd * loss_tsd
    loss_tsd: Tensor  # scalar
    loss_ssd: Tensor  # scalar
    weights: Tensor  # [B, L, K]
    query_features: list[Tensor]  # g_l(q), [B, C_l, H_l, W_l]
    support_features: list[Tensor]  # g_l(s), [N, C_l, H_l, W_l]
    fused_features: list[Tensor]  # h_l = sum_k w_k g_l(s_k), [B, C_l, H_l, W_l]
    teacher_features: TeacherFeatures  # of the queries
    rows: Tensor | None  # [K, B], which of the N supports belong to each query; None: all to every query
