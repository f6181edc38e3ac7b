"""What a baseline keeps of its supports: vectors, of which those of some supports can be taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from d24fad_lite.model.features import Positions, support_index


@dataclass(frozen=True, eq=False)
class VectorBank:
    """Vectors of K supports, computed once and used for every query; its length is K.

    Attributes
    ----------
    vectors : Tensor [K, P, C], P vectors of each support
    """

    vectors: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} supports, {tuple(self.vectors.shape[1:])})"

    def select(self, positions: Positions) -> Self:
        """The bank of some of the supports, in the given order; raises as `SupportBank.select`."""
        return type(self)(self.vectors[support_index(positions, self.vectors)])

    @classmethod
    def join(cls, banks: Sequence[Self]) -> Self:
        """One bank of several, in order. Raises ValueError where no bank is given."""
        if not banks:
            raise ValueError("join() got no banks; give at least one")
        return cls(torch.cat([bank.vectors for bank in banks]))
