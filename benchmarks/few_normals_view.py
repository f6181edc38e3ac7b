"""What a candidate of `few_normals.py` sees: features of the queries and of K supports, and distances between them.

Features of all images of a task are computed once, and so is each distance between an image and a support that some
draw uses; a draw then only chooses among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.data.supports import leave_one_out
from d24fad_lite.evaluation.baselines.mirrored_patch import Compared, Distances, MirroredBank
from d24fad_lite.evaluation.baselines.nearest_patch import patch_vectors, unit_distance
from d24fad_lite.model.matching import largest_cosine

BATCH = 32
WINDOW = 1 / 8  # share of the side to which a window reaches in each direction
ANYWHERE = 1.0


@dataclass
class Encoded:
    """Features of a task's test images, followed by the distinct supports of all draws.

    Attributes
    ----------
    grid : float [N, C, H, W], unit vectors of patches over all levels but the finest (as nearest patch has them)
    levels : list of float [N, C_l, H_l, W_l], all levels, fine first
    mirrored : list of float, the levels of all images' mirror images
    first_support : int, position of the first support among the images
    """

    grid: Tensor
    levels: list[Tensor]
    mirrored: list[Tensor]
    first_support: int
    _distances: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, teacher: d2.Teacher, tests: Tensor, supports: Tensor) -> Encoded:
        """Encode images [N, 3, S, S] and [U, 3, S, S] and their mirror images, each once."""
        images = torch.cat([tests, supports])
        levels, mirrored = _levels(teacher, images), _levels(teacher, images.flip(-1))
        return cls(_grid(levels), levels, mirrored, len(tests))

    def distances(self, kind: str) -> Tensor:
        """[N, U, P]: from each patch of each image to the nearest one of each support.

        kind : "anywhere", "window", "mirrored" (the mirror image counts too) or "level l" (one level alone, anywhere)
        """
        if kind not in self._distances:
            self._distances[kind] = self._compute(kind)
        return self._distances[kind]

    def _compute(self, kind: str) -> Tensor:
        if kind.startswith("level"):
            level = F.avg_pool2d(self.levels[int(kind.split()[1])], 3, 1, 1, count_include_pad=False)
            return self._nearest(level, level[self.first_support :], ANYWHERE)
        supports = self.grid[self.first_support :]
        near = self._nearest(self.grid, supports, WINDOW if kind == "window" else ANYWHERE)
        if kind == "mirrored":
            turned = _grid(self.mirrored)[self.first_support :]
            return torch.minimum(near, self._nearest(self.grid, turned, ANYWHERE))
        return near

    @staticmethod
    def _nearest(images: Tensor, supports: Tensor, radius: float) -> Tensor:
        parts = [largest_cosine(part, supports, radius) for part in images.split(BATCH)]
        return unit_distance(torch.cat(parts)).flatten(2)

    @cached_property
    def grids(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of the levels that the grid is made of."""
        return [(level.shape[2], level.shape[3]) for level in _used(self.levels)]

    @cached_property
    def compared(self) -> tuple[Compared, Compared]:
        """What `mirrored-patch` compares of all images, and of their mirror images."""
        return Compared.of(_used(self.levels)), Compared.of(_used(self.mirrored))

    @cached_property
    def kits(self) -> tuple[Distances, Distances, MirroredBank]:
        """As `mirrored-patch` has them: distances to each support [N, U, P], to the own mirror [N, P], the supports."""
        plain, turned = self.compared
        ours = torch.arange(self.first_support, len(self.grid))
        bank = MirroredBank.of(plain.select(ours), turned.select(ours), self.grids)
        return plain.nearest(bank.compared), plain.own_mirror(turned, self.grids), bank

    @cached_property
    def backwards(self) -> Tensor:
        """[N, U]: mean distance from a support's patches to the nearest one of an image."""
        supports = self.grid[self.first_support :]
        parts = [unit_distance(largest_cosine(supports, part, ANYWHERE)).mean((2, 3)).T for part in self.grid.split(8)]
        return torch.cat(parts)

    @cached_property
    def pooled(self) -> Tensor:
        """Unit vectors [N, C]: the mean of each level over its positions, each level with the same weight."""
        return F.normalize(torch.cat([F.normalize(level.mean((2, 3)), dim=1) for level in self.levels], dim=1), dim=1)

    @cached_property
    def texture(self) -> Tensor:
        """Unit vectors [N, C]: how much each channel varies over the positions, likewise."""
        return F.normalize(torch.cat([F.normalize(level.std((2, 3)), dim=1) for level in self.levels], dim=1), dim=1)


@dataclass(frozen=True)
class View:
    """Some images of a task as queries, K others as supports.

    Attributes
    ----------
    task : Encoded
    queries : int tensor [B], positions among the task's images
    supports : int tensor [K], likewise
    """

    task: Encoded
    queries: Tensor
    supports: Tensor

    def near(self, kind: str = "anywhere") -> Tensor:
        """[B, K, P], see `Encoded.distances`."""
        return self.task.distances(kind)[self.queries][:, self.supports - self.task.first_support]

    def mirrored_patches(self) -> tuple[Distances, Distances, bool]:
        """Distances [B, P] to the supports and to the own mirror image, and whether the supports are symmetric."""
        to_each, own, bank = self.task.kits
        chosen = self.supports - self.task.first_support
        near = Distances(to_each.patches[self.queries], [level[self.queries] for level in to_each.levels])
        itself = Distances(own.patches[self.queries], [level[self.queries] for level in own.levels])
        return near.of_supports(chosen), itself, bank.select(chosen).symmetric

    def backwards(self) -> Tensor:
        """[B, K], see `Encoded.backwards`."""
        return self.task.backwards[self.queries][:, self.supports - self.task.first_support]

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Unit patch vectors of the queries [B, P, C] and of the supports [K, P, C]."""
        grid = self.task.grid.flatten(2).transpose(1, 2)
        return grid[self.queries], grid[self.supports]

    def left_out(self) -> Iterator[View]:
        """Each support as the only query, the others as its supports."""
        for position, others in enumerate(leave_one_out(len(self.supports))):
            yield View(self.task, self.supports[position : position + 1], self.supports[torch.from_numpy(others)])


def _levels(teacher: d2.Teacher, images: Tensor) -> list[Tensor]:
    device = next(teacher.parameters()).device
    with torch.no_grad():
        parts = [teacher.first_levels(part.to(device), len(teacher.grids)) for part in images.split(BATCH)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def _used(levels: list[Tensor]) -> list[Tensor]:
    """All levels but the finest, as nearest patch compares."""
    return levels[1:] if len(levels) > 1 else levels


def _grid(levels: list[Tensor]) -> Tensor:
    used = _used(levels)
    return patch_vectors(used).transpose(1, 2).unflatten(2, used[0].shape[2:])
