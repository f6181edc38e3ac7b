"""Distance of mean teacher features: the simplest few-shot method that sees more than brightness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.evaluation.scorer import SUPPORT_BATCH, ScoredBatch
from d24fad_lite.evaluation.shared_teacher import SharedTeacher, shared
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher


class MeanFeature:
    """Distance of the image's mean teacher features to the mean of the supports': one vector per image, no map.

    Each level is averaged over its positions and brought to unit length; levels count the same.

    Parameters
    ----------
    teacher : SharedTeacher, Teacher or D24FAD
    levels : sequence of int, optional
        Positions among the teacher's levels, 0 the finest; default all.
    name : str, default "mean feature"
        Shown in reports and tables.

    Raises
    ------
    ValueError
        Something else in place of a teacher.
    """

    def __init__(
        self, teacher: SharedTeacher | Teacher | D24FAD, levels: Sequence[int] | None = None, name: str = "mean feature"
    ) -> None:
        self.teacher, self.name = shared(teacher), name
        self.image_size = self.teacher.image_size
        self.levels = list(levels) if levels is not None else list(range(len(self.teacher.teacher.channels)))

    def vectors(self, images: Tensor) -> Tensor:
        """[N, sum C_l] of images [N, 3, S, S]."""
        levels = self.teacher.first_levels(images, max(self.levels) + 1)
        return mean_vectors([levels[i] for i in self.levels])

    def prepare(self, images: Tensor, draws: np.ndarray) -> Tensor:
        """Mean vector of the supports [U, 3, S, S] of each draw [D, K], float [D, C]."""
        vectors = torch.cat([self.vectors(part) for part in images.split(SUPPORT_BATCH)])
        return vectors[torch.from_numpy(draws)].mean(dim=1)  # (D, C)

    def score(self, images: Tensor, prepared: Tensor) -> ScoredBatch:
        """Distances [D, B] of test images [B, 3, S, S]."""
        return ScoredBatch(torch.cdist(prepared, self.vectors(images)).cpu().numpy(), None)


def mean_vectors(levels: Sequence[Tensor]) -> Tensor:
    """Levels [N, C_l, H_l, W_l] -> [N, sum C_l]: each averaged over its positions and brought to unit length."""
    return torch.cat([F.normalize(level.mean(dim=(2, 3)), dim=1) for level in levels], dim=1)
