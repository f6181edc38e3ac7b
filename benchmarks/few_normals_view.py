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
    mirrored : float [U, C, H, W], the grid of the supports' mirror images
    first_support : int, position of the first support among the images
    """

    grid: Tensor
    levels: list[Tensor]
    mirrored: Tensor
    first_support: int
    _distances: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, teacher: d2.Teacher, tests: Tensor, supports: Tensor) -> Encoded:
        """Encode images [N, 3, S, S] and [U, 3, S, S], each once, and the supports' mirror images."""
        levels = _levels(teacher, torch.cat([tests, supports]))
        mirrored = _grid(_levels(teacher, supports.flip(-1)))
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
            return torch.minimum(near, self._nearest(self.grid, self.mirrored, ANYWHERE))
        return near

    @staticmethod
    def _nearest(images: Tensor, supports: Tensor, radius: float) -> Tensor:
        parts = [largest_cosine(part, supports, radius) for part in images.split(BATCH)]
        return unit_distance(torch.cat(parts)).flatten(2)

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
    with torch.no_grad():
        parts = [teacher(part).levels for part in images.split(BATCH)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def _grid(levels: list[Tensor]) -> Tensor:
    used = levels[1:] if len(levels) > 1 else levels
    return patch_vectors(used).transpose(1, 2).unflatten(2, used[0].shape[2:])
