"""What the detector passes around: features of images, a bank of supports, and the results. All of them are frozen.

Records of several images have `select`, which gives the same record of some of these images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

# Which images of a record: their positions in the wanted order, a mask with a truth value for each, or a slice.
Positions = Sequence[int] | np.ndarray | Tensor | slice


def _index(positions: Positions, like: Tensor) -> Tensor | slice:
    """The positions in a form that indexes tensors beside `like`."""
    if isinstance(positions, slice):
        return positions
    index = torch.as_tensor(positions, device=like.device)
    return index if index.dtype == torch.bool else index.long()


def support_index(positions: Positions, like: Tensor) -> Tensor:
    """Positions among the K supports of a bank's tensor [K, ...]; ValueError for none, IndexError beyond K."""
    index = _index(positions, like)
    if isinstance(index, slice) or index.dtype == torch.bool:
        index = torch.arange(len(like), device=like.device)[index]
    if len(index) == 0:
        raise ValueError("select() got no indices; a bank needs at least one support")
    if int(index.min()) < 0 or int(index.max()) >= len(like):
        raise IndexError(f"select() got indices {index.tolist()}, the bank has supports 0 to {len(like) - 1}")
    return index


@dataclass(frozen=True, eq=False)
class TeacherFeatures:
    """What the teacher sees in N images; unpacks as `levels, embedding`.

    Attributes
    ----------
    levels : list of Tensor [N, C_l, H_l, W_l], f_1 .. f_L, fine to coarse
    embedding : Tensor [N, C_e, H_e, W_e], e
    """

    levels: list[Tensor]
    embedding: Tensor

    def __iter__(self) -> Iterator[Any]:
        return iter((self.levels, self.embedding))

    @property
    def grids(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of each level."""
        return [(f.shape[2], f.shape[3]) for f in self.levels]

    def select(self, positions: Positions) -> TeacherFeatures:
        """The features of some of the images, in the given order."""
        index = _index(positions, self.embedding)
        return TeacherFeatures([level[index] for level in self.levels], self.embedding[index])

    def replace(self, **changes: Any) -> Self:
        """A copy with another `levels` or `embedding`."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class QueryFeatures:
    """Features of B queries; its length is B.

    Attributes
    ----------
    teacher, student : list of Tensor [B, C_l, H_l, W_l], fine to coarse; `teacher` may be empty where no map reads it
    """

    teacher: list[Tensor]
    student: list[Tensor]

    def __len__(self) -> int:
        return self.student[0].shape[0]

    def select(self, positions: Positions) -> QueryFeatures:
        """The features of some of the queries, in the given order."""
        index = _index(positions, self.student[0])
        return QueryFeatures([f[index] for f in self.teacher], [g[index] for g in self.student])

    def replace(self, **changes: Any) -> Self:
        """A copy with another `teacher` or `student`."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False, repr=False)
class SupportBank:
    """Student features and learn-to-weight keys of K supports, computed once and used for every query; length K.

    Attributes
    ----------
    levels, keys : list of Tensor [K, C_l, H_l, W_l], fine to coarse
    teacher : the supports' teacher levels where the anomaly map compares in them (`compare_in`), else empty
    """

    levels: list[Tensor]
    keys: list[Tensor]
    teacher: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return self.levels[0].shape[0]

    def __repr__(self) -> str:
        return f"SupportBank({len(self)} supports, levels {[tuple(g.shape[1:]) for g in self.levels]})"

    def select(self, positions: Positions) -> SupportBank:
        """The bank of some of the supports, in the given order; nothing is encoded again.

        Raises
        ------
        ValueError : no position is given.
        IndexError : a position that the bank does not have; negative ones are refused, too.
        """
        index = support_index(positions, self.levels[0])
        return SupportBank(*([level[index] for level in part] for part in (self.levels, self.keys, self.teacher)))

    @classmethod
    def join(cls, banks: Sequence[SupportBank]) -> SupportBank:
        """One bank of several, in order: to exchange one support, one image is encoded.

        Raises
        ------
        ValueError : no bank is given.
        """
        if not banks:
            raise ValueError("join() got no banks; give at least one")
        levels, keys, teacher = (
            [torch.cat(level) for level in zip(*parts, strict=True)]
            for parts in ([b.levels for b in banks], [b.keys for b in banks], [b.teacher for b in banks])
        )
        return cls(levels, keys, teacher)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Results for B queries; unpacks as `score, anomaly_map, weights`.

    Attributes
    ----------
    score : Tensor [B], image scores; higher is more anomalous
    anomaly_map : Tensor [B, S, S], blurred
    weights : Tensor [B, L, K]; each level sums to 1 over the supports
    """

    score: Tensor
    anomaly_map: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return self.score.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.score, self.anomaly_map, self.weights))

    def select(self, positions: Positions) -> Prediction:
        """The results for some of the queries, in the given order."""
        index = _index(positions, self.score)
        return Prediction(*(values[index] for values in self))


@dataclass(frozen=True, eq=False)
class D24FADOutput:
    """What one training step computes for B queries and N supports.

    Attributes
    ----------
    loss : scalar Tensor, lambda_ssd * loss_ssd + lambda_tsd * loss_tsd
    loss_tsd, loss_ssd : scalar Tensors, teacher-student and student-student (self) distillation
    weights : Tensor [B, L, K]
    query_features : list of Tensor [B, C_l, H_l, W_l], g_l(q)
    support_features : list of Tensor [N, C_l, H_l, W_l], g_l(s)
    fused_features : list of Tensor [B, C_l, H_l, W_l], h_l = sum_k w_k g_l(s_k)
    teacher_features : TeacherFeatures of the queries
    support_rows : int64 Tensor [K, B], which of the N supports belong to each query; None: all belong to every query
    """

    loss: Tensor
    loss_tsd: Tensor
    loss_ssd: Tensor
    weights: Tensor
    query_features: list[Tensor]
    support_features: list[Tensor]
    fused_features: list[Tensor]
    teacher_features: TeacherFeatures
    support_rows: Tensor | None


def in_float32(levels: list[Tensor]) -> list[Tensor]:
    """Levels of half precision in float32, others as they are."""
    return [x.float() if x.dtype.itemsize < 4 else x for x in levels]
