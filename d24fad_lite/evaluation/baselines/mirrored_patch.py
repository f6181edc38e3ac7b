"""Nearest patch with mirror images: what is compared, and when an image may explain itself.

Bodies are nearly symmetric, and a few supports show little of what is normal. So each support stands for its mirror
image too; and where anatomy is symmetric, a patch of the query is also compared with the query's own mirror image
around the same place: what is on both sides is anatomy, what is on one side alone is suspect. Whether it is symmetric
the supports tell, without labels: they must be more like their own mirror images than like each other (a brain is, a
fundus is not), and clearly more at the same place than elsewhere (a tissue of one texture is not). Many supports
resemble each other more than few, so with K = 8 the answer is more often no than with K = 4.

With d(p) the distance from patch p to the nearest of these patches and d_s(p) the same without the own mirror image,

    anomaly map   m(p) = mean of d(p) and of d_l(p) for each level l
    image score   mean over p of d_s(p)  +  mean of the highest tenth of m(p)

where d compares patches as nearest patch has them (3 x 3 means, all levels together: robust, coarse) and d_l single
positions of one level (sharp). The mean of d_s answers to diffuse disease, the highest tenth of m to small lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.data.supports import leave_one_out
from d24fad_lite.evaluation.baselines.banks import VectorBank
from d24fad_lite.evaluation.baselines.nearest_patch import largest_cosine, patch_vectors, unit_distance
from d24fad_lite.model.anomaly_map import image_score
from d24fad_lite.model.features import Positions, support_index

WINDOW = 16  # the own mirror image is searched within a sixteenth of the side, at least the next position
BORDER = 8  # an eighth of the side: there a network sees its padding, which is at the same place in every image
SAME_PLACE = 2 / 3  # the own mirror image must be nearer than this share of its distance half an image away
ROUNDING = 1e-3  # a mean distance of unit vectors below this is a root of float32's rounding
NOWHERE = -2.0  # below every cosine


@dataclass(frozen=True)
class Compared:
    """What is compared of N images: patches [N, P, C] and, for each level, positions [N, P_l, C_l]; unit vectors."""

    patches: Tensor
    levels: list[Tensor]

    @classmethod
    def of(cls, levels: Sequence[Tensor]) -> Self:
        """From the compared levels [N, C_l, H_l, W_l] of some images, fine first."""
        return cls(patch_vectors(levels), [F.normalize(level, dim=1).flatten(2).transpose(1, 2) for level in levels])

    def select(self, positions: Tensor) -> Self:
        """Some of the images."""
        return type(self)(self.patches[positions], [level[positions] for level in self.levels])

    @classmethod
    def cat(cls, parts: Sequence[Compared], dim: int = 0) -> Self:
        """Several sets of images in one; along dim 1 the vectors of the same images."""
        levels = zip(*(part.levels for part in parts), strict=True)
        return cls(torch.cat([part.patches for part in parts], dim), [torch.cat(level, dim) for level in levels])

    def nearest(self, supports: Compared) -> Distances:
        """Distances [N, K, P] to the nearest vector of each of K supports."""
        pairs = zip(self.levels, supports.levels, strict=True)
        return Distances(_nearest(self.patches, supports.patches), [_nearest(*pair) for pair in pairs])

    def own_mirror(self, mirrored: Compared, grids: Sequence[tuple[int, int]]) -> Distances:
        """Distances [N, P] to the mirror images [N, ...] of the same images, around the same place.

        grids : (H_l, W_l) of each level; the patches lie on the first.
        """
        levels = zip(self.levels, mirrored.levels, grids, strict=True)
        return Distances(
            _around(self.patches, mirrored.patches, grids[0]), [_around(a, b, grid) for a, b, grid in levels]
        )


@dataclass(frozen=True)
class Distances:
    """Distances 0..2 of patches [..., P] and, for each level, of positions [..., P_l]."""

    patches: Tensor
    levels: list[Tensor]

    def of_supports(self, supports: Tensor) -> Distances:
        """The smallest [N, P] over some of K supports, of distances [N, K, P]."""
        return Distances(
            self.patches[:, supports].amin(dim=1), [level[:, supports].amin(dim=1) for level in self.levels]
        )

    def or_nearer(self, other: Distances) -> Distances:
        """The smaller of both at each place."""
        levels = [torch.minimum(*pair) for pair in zip(self.levels, other.levels, strict=True)]
        return Distances(torch.minimum(self.patches, other.patches), levels)

    def map(self, grids: Sequence[tuple[int, int]]) -> Tensor:
        """m(p), see the top of this file: [N, H, W] on the first grid."""
        levels = [d.unflatten(1, grid).unsqueeze(1) for d, grid in zip(self.levels, grids, strict=True)]
        levels = [F.interpolate(d, size=grids[0], mode="bilinear", align_corners=False)[:, 0] for d in levels]
        return torch.stack([self.patches.unflatten(1, grids[0]), *levels]).mean(dim=0)


def scores_and_maps(
    supports: Distances, own: Distances | None, grids: Sequence[tuple[int, int]], top_share: float
) -> tuple[Tensor, Tensor]:
    """Image scores [N] and maps [N, H, W] from distances to the supports and, perhaps, to the own mirror image."""
    maps = (supports.or_nearer(own) if own is not None else supports).map(grids)
    return supports.patches.mean(dim=1) + image_score(maps, "top", top_share), maps


@dataclass(frozen=True, eq=False, repr=False)
class MirroredBank(VectorBank):
    """K supports and their mirror images; its length is K.

    Attributes
    ----------
    vectors : Tensor [K, 2 P, C], patches of each support, then those of its mirror image
    levels : list of Tensor [K, 2 P_l, C_l], positions of each level likewise
    own : Tensor [K], mean distance of a support's patches to its own mirror image around the same place
    place : Tensor [K], this distance as a share of that to the own mirror image half an image away, without the border
    among : Tensor [K, K, P], distances of a support's patches to another support or that one's mirror image
    symmetric : bool, see `are_symmetric`
    """

    levels: list[Tensor]
    own: Tensor
    place: Tensor
    among: Tensor
    symmetric: bool

    @classmethod
    def of(cls, images: Compared, mirrored: Compared, grids: Sequence[tuple[int, int]]) -> Self:
        """The bank of some supports; `grids` as in `Compared.own_mirror`."""
        both = Compared.cat([images, mirrored], dim=1)
        own = _around(images.patches, mirrored.patches, grids[0]).mean(dim=1)
        place = _same_place(images.patches, mirrored.patches, grids[0])
        return cls._of(both, own, place, _nearest(images.patches, both.patches))

    @classmethod
    def _of(cls, both: Compared, own: Tensor, place: Tensor, among: Tensor) -> Self:
        return cls(both.patches, both.levels, own, place, among, are_symmetric(own, place, among))

    @property
    def compared(self) -> Compared:
        """The supports and their mirror images, as a query is compared with them."""
        return Compared(self.vectors, self.levels)

    def select(self, positions: Positions) -> Self:
        """The bank of some of the supports, in the given order; raises as `SupportBank.select`."""
        index = support_index(positions, self.vectors)
        chosen = torch.arange(len(self), device=self.vectors.device)[index]
        among = self.among[chosen][:, chosen]
        return self._of(self.compared.select(chosen), self.own[chosen], self.place[chosen], among)

    def without(self, position: int) -> Self:
        """The other supports, with the decision of all: a support left out is scored as a query would be."""
        return replace(self.select(leave_one_out(len(self))[position]), symmetric=self.symmetric)

    def unmirrored(self) -> Self:
        """The supports in the place of their mirror images too: to it the mirror image of one is a new image."""
        shown = Compared(_first_half(self.vectors), [_first_half(level) for level in self.levels])
        twice = Compared.cat([shown, shown], dim=1)
        return replace(self, vectors=twice.patches, levels=twice.levels)

    @classmethod
    def join(cls, banks: Sequence[Self]) -> Self:
        """One bank of several, in order. Raises ValueError where no bank is given."""
        if not banks:
            raise ValueError("join() got no banks; give at least one")
        both = Compared.cat([bank.compared for bank in banks])
        images = _first_half(both.patches)
        own, place = (torch.cat(part) for part in zip(*((bank.own, bank.place) for bank in banks), strict=True))
        return cls._of(both, own, place, _nearest(images, both.patches))


def are_symmetric(own: Tensor, place: Tensor, among: Tensor) -> bool:
    """Whether K supports are nearer to their own mirror images than to each other, and clearly so at the same place.

    Each support is compared with all others, as a query would be. One support alone, or supports that are all equal,
    give no answer: False. Parameters as the attributes of `MirroredBank`.
    """
    count = len(own)
    if count < 2:
        return False
    itself = torch.eye(count, dtype=torch.bool, device=among.device).unsqueeze(2)
    others = among.masked_fill(itself, torch.inf).amin(dim=1).mean()
    return bool(others > ROUNDING) and bool(own.mean() < others) and bool(place.mean() < SAME_PLACE)


def _first_half(vectors: Tensor) -> Tensor:
    """Of vectors [K, 2 P, C] those of the supports [K, P, C], without their mirror images."""
    return vectors[:, : vectors.shape[1] // 2]


def _nearest(queries: Tensor, supports: Tensor) -> Tensor:
    """Distances [N, K, P] from vectors [N, P, C] to the nearest vector of each support [K, R, C]."""
    flat = queries.flatten(0, 1)
    cosines = torch.stack([largest_cosine(flat, support) for support in supports])  # (K, N·P)
    return unit_distance(cosines).unflatten(1, queries.shape[:2]).transpose(0, 1)


def _same_place(vectors: Tensor, mirrored: Tensor, grid: tuple[int, int]) -> Tensor:
    """Distance of each image to its own mirror image, as a share of that half a height or width away: [N].

    The nearer of both counts; below 1 where the same place matters. The border is left out.
    """
    top, left = (side // BORDER for side in grid)
    shown, turned = (
        part.unflatten(1, grid)[:, top : grid[0] - top, left : grid[1] - left] for part in (vectors, mirrored)
    )
    inside = (shown.shape[1], shown.shape[2])
    here, down, right = (
        _around(shown.flatten(1, 2), turned.roll(steps, dims=(1, 2)).flatten(1, 2), inside).mean(dim=1)
        for steps in ((0, 0), (inside[0] // 2, 0), (0, inside[1] // 2))
    )
    return here / torch.minimum(down, right).clamp_min(torch.finfo(here.dtype).tiny)


def _around(queries: Tensor, mirrored: Tensor, grid: tuple[int, int]) -> Tensor:
    """Distances [N, P] from vectors [N, P, C] to the nearest one of `mirrored` [N, P, C] around the same place."""
    height, width = grid
    down, right = (min(max(1, side // WINDOW), side - 1) for side in grid)
    q, m = (vectors.transpose(1, 2).unflatten(2, grid) for vectors in (queries, mirrored))  # (N, C, H, W)
    m = F.pad(m, (right, right, down, down))
    inside = F.pad(torch.ones(grid, dtype=torch.bool, device=q.device), (right, right, down, down))
    best = q.new_full((len(q), height, width), NOWHERE)
    for top in range(2 * down + 1):
        for left in range(2 * right + 1):
            part = (slice(top, top + height), slice(left, left + width))
            cosine = (q * m[:, :, part[0], part[1]]).sum(dim=1)
            best = torch.maximum(best, torch.where(inside[part], cosine, NOWHERE))
    return unit_distance(best).flatten(1)
