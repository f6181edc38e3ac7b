"""Nearest support patch in the features of a frozen teacher: the baseline that needs no training.

After PatchCore (Roth et al., CVPR 2022) with few supports: each position of the query is compared with all positions
of all supports, and its distance to the nearest one is its anomaly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.evaluation.scorer import SUPPORT_BATCH, ScoredBatch
from d24fad_lite.evaluation.shared_teacher import SharedTeacher, shared
from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.anomaly_map import gaussian_blur, image_score
from d24fad_lite.model.config import CHOICES
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher

CHUNK_VALUES = 2**25  # similarities held at once, 128 MiB of float32


@dataclass(frozen=True)
class PatchMemory:
    """Support patches and which of them each draw may use.

    Attributes
    ----------
    patches : float [U, P, C]
        Unit vectors of U distinct supports.
    draws : int [D, K]
        Positions among the supports.
    coresets : list of D int tensors, or None
        For each draw the positions in the coreset, among the draw's K·P patches; None to use all.
    """

    patches: Tensor
    draws: np.ndarray
    coresets: list[Tensor] | None


class NearestPatch:
    """Distance of query patches to the nearest support patch, a scorer for `evaluate`.

    Parameters
    ----------
    teacher : SharedTeacher, Teacher or D24FAD
    levels : sequence of int, optional
        Positions among the teacher's levels, 0 the finest; default all but the finest, as PatchCore does.
    image_score : {"max", "mean", "top"}
        Of the patch distances, before upsampling and blur; "top" is the mean of the largest ones.
    top_share : float, default 0.1
        Share of the patches that "top" takes, above 0 to 1.
    coreset : float, default 1
        Share of a draw's patches kept by greedy selection, above 0 to 1. 1 keeps all and is the fastest for few
        supports; worth lowering from about 50 supports on.
    blur_sigma : float, default 4
        Of the anomaly map, in pixels.
    maps : bool, default True
        False saves time and memory where only scores are needed.
    name : str, optional
        Shown in reports and tables; default "nearest patch, max" or "nearest patch, mean".
    seed : int, default 0
        Of the random projection within the coreset selection.

    Raises
    ------
    ValueError
        A level that the teacher does not have, unknown `image_score`, `coreset` out of range, no teacher.

    References
    ----------
    PatchCore: Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022.
    """

    def __init__(
        self,
        teacher: SharedTeacher | Teacher | D24FAD,
        levels: Sequence[int] | None = None,
        image_score: str = "max",
        *,
        top_share: float = 0.1,
        coreset: float = 1.0,
        blur_sigma: float = 4.0,
        maps: bool = True,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        self.teacher = shared(teacher)
        self.image_size = self.teacher.image_size
        self.levels = compared_levels(self.teacher.teacher, levels)
        if image_score not in CHOICES["image_score"]:
            raise ValueError(choose_one_of("image_score", image_score, CHOICES["image_score"]))
        if not 0 < coreset <= 1:
            raise ValueError(f"coreset={coreset!r} must be a share above 0, up to 1 (keep all patches)")
        self.image_score, self.top_share, self.coreset, self.seed = image_score, top_share, coreset, seed
        self.blur_sigma, self.maps = blur_sigma, maps
        self.name = name or f"nearest patch, {image_score}"

    def patches(self, images: Tensor) -> Tensor:
        """Unit patch vectors [N, P, C] of images [N, 3, S, S], P positions of the finest used grid, row by row."""
        levels = self.teacher.first_levels(images, max(self.levels) + 1)
        return patch_vectors([levels[i] for i in self.levels])

    def prepare(self, images: Tensor, draws: np.ndarray) -> PatchMemory:
        """Patches of the supports [U, 3, S, S], and what each draw [D, K] uses of them."""
        patches = torch.cat([self.patches(part) for part in images.split(SUPPORT_BATCH)])
        if self.coreset == 1:
            return PatchMemory(patches, draws, None)
        of_draws = (patches[torch.from_numpy(positions)].flatten(0, 1) for positions in draws)  # (K·P, C)
        coresets = [greedy_coreset(of_draw, self.coreset, seed=self.seed) for of_draw in of_draws]
        return PatchMemory(patches, draws, coresets)

    def score(self, images: Tensor, prepared: PatchMemory) -> ScoredBatch:
        """Scores [D, B] and maps [D, B, S, S] of test images [B, 3, S, S]."""
        distances = patch_distances(self.patches(images), prepared)  # (D, B, P)
        low = distances.unflatten(2, self.teacher.teacher.grids[self.levels[0]])  # (D, B, H, W)
        scores = image_score(low.flatten(0, 1), self.image_score, self.top_share).view(low.shape[:2])
        if not self.maps:
            return ScoredBatch(scores.cpu().numpy(), None)
        maps = distance_maps(low.flatten(0, 1), self.image_size, self.blur_sigma)
        return ScoredBatch(scores.cpu().numpy(), maps.unflatten(0, low.shape[:2]).cpu().numpy())


def compared_levels(teacher: Teacher, levels: Sequence[int] | None = None) -> list[int]:
    """Positions among the teacher's levels, fine first; None: all but the finest, as PatchCore does.

    Raises ValueError for a level that the teacher does not have.
    """
    count = len(teacher.channels)
    try:
        chosen = sorted({index(level) for level in (levels if levels is not None else range(min(1, count - 1), count))})
    except TypeError:  # no sequence, or not of whole numbers
        chosen = []
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise ValueError(f"levels={levels!r} must name some of the teacher's levels, 0 (fine) to {count - 1}")
    return chosen


def distance_maps(distances: Tensor, image_size: int, blur_sigma: float) -> Tensor:
    """Distances [N, H, W] on the patches' grid -> anomaly maps [N, S, S], blurred with `blur_sigma` in pixels."""
    size = (image_size, image_size)
    full = F.interpolate(distances.unsqueeze(1), size=size, mode="bilinear", align_corners=False)  # (N, 1, S, S)
    return gaussian_blur(full.squeeze(1), blur_sigma)


def patch_vectors(levels: Sequence[Tensor]) -> Tensor:
    """Levels [N, C_l, H_l, W_l], fine first -> unit vectors [N, H_1·W_1, sum C_l], each level with the same weight.

    A patch is the 3x3 average around a position (padding not counted); coarser levels are brought to the finest grid.
    """
    size = levels[0].shape[2:]
    parts = []
    for level in levels:
        local = F.avg_pool2d(level, 3, stride=1, padding=1, count_include_pad=False)
        local = F.interpolate(local, size=size, mode="bilinear", align_corners=False)
        parts.append(F.normalize(local, dim=1))
    return F.normalize(torch.cat(parts, dim=1), dim=1).flatten(2).transpose(1, 2)  # (N, P, C)


def patch_distances(queries: Tensor, memory: PatchMemory) -> Tensor:
    """Distance 0..2 of each query patch [B, P, C] to the nearest support patch, per draw -> [D, B, P].

    Without a coreset each query is compared with each distinct support once; draws then only choose among the minima.
    """
    batch, positions, _ = queries.shape
    flat = queries.flatten(0, 1)  # (B·P, C)
    supports_of_draws = [torch.from_numpy(supports) for supports in memory.draws]
    if memory.coresets is None:
        nearest = torch.stack([largest_cosine(flat, support) for support in memory.patches])  # (U, B·P)
        cosines = torch.stack([nearest[supports].amax(dim=0) for supports in supports_of_draws])  # (D, B·P)
    else:
        pairs = zip(supports_of_draws, memory.coresets, strict=True)
        used = (memory.patches[supports].flatten(0, 1)[coreset] for supports, coreset in pairs)
        cosines = torch.stack([largest_cosine(flat, patches) for patches in used])  # (D, B·P)
    return unit_distance(cosines).view(-1, batch, positions)


def unit_distance(cosines: Tensor) -> Tensor:
    """|a - b| of unit vectors with these cosines, 0..2."""
    return (2 - 2 * cosines).clamp_min(0).sqrt()


def largest_cosine(queries: Tensor, patches: Tensor) -> Tensor:
    """For each query patch [Q, C] its cosine to the nearest of the patches [M, C], in chunks that fit in memory."""
    chunk = max(1, CHUNK_VALUES // len(patches))
    return torch.cat([(part @ patches.T).amax(dim=1) for part in queries.split(chunk)])


def greedy_coreset(vectors: Tensor, share: float, *, projection: int | None = 64, seed: int = 0) -> Tensor:
    """Positions of the vectors [M, C] that cover the others best: greedy k-centre, ceil(share·M) of them.

    Starts from the vector farthest from the mean, then always adds the one farthest from those chosen.

    Parameters
    ----------
    vectors : float [M, C]
    share : float, above 0 to 1
    projection : int or None, default 64
        Dimensions of a seeded random projection in which distances are measured (Johnson-Lindenstrauss), None for the
        vectors themselves. Only the selection uses it.
    seed : int, default 0
        Of the projection.

    Returns
    -------
    int [ceil(share·M)]
    """
    count = max(1, int(np.ceil(share * len(vectors))))
    x = vectors
    if projection is not None and vectors.shape[1] > projection:
        generator = torch.Generator().manual_seed(seed)
        x = vectors @ (torch.randn(vectors.shape[1], projection, generator=generator) / projection**0.5).to(vectors)
    chosen = [int((x - x.mean(dim=0)).square().sum(dim=1).argmax())]
    distance = (x - x[chosen[0]]).square().sum(dim=1)  # to the nearest chosen one, (M,)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(dim=1))
    return torch.tensor(chosen)
