"""What the student of `few_normals_student.py` reads of queries beside K supports: how far, and in which channels.

With q a position of the query's level and s* the nearest position of any support or of its mirror image (both unit
vectors), the residual |q - s*| is compared, channel by channel, with the mean residual u of the supports to each other:

    r(q) = log( (|q - s*| + m) / (u + m) ),   m = mean of u over the channels

So a channel in which the supports differ among each other counts less, whatever the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from few_normals_candidates import CANDIDATES, FROZEN, TOP
from few_normals_lesions import ALL_LESIONS, changed
from few_normals_trained import SMALLEST, described
from few_normals_view import BATCH, Encoded, View
from torch import Tensor
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.baselines.mirrored_patch import scores_and_maps


@dataclass
class Rows:
    """N queries, each beside its supports.

    Attributes
    ----------
    levels : list of half [N, C_l, H_l, W_l], residuals r, see the top of this file
    maps : half [N, 6, H, W], logarithms of distances relative to the supports', and whether these are symmetric
    facts : float [N, 14], the descriptors of `few_normals_trained.py` and the frozen score, last
    labels : float [N], 1 with a lesion
    masks : half [N, H, W], share of each position that the lesion changed; 0 for test images
    """

    levels: list[Tensor]
    maps: Tensor
    facts: Tensor
    labels: Tensor
    masks: Tensor

    @classmethod
    def of(cls, view: View, labels: Tensor, masks: Tensor) -> Self:
        """The queries of a view."""
        maps, frozen = _distance_maps(view)
        facts = torch.cat([torch.from_numpy(described(view)).float().to(frozen.device), frozen[:, None]], dim=1)
        device = frozen.device
        return cls(_residuals(view), maps.half(), facts, labels.float().to(device), masks.half().to(device))

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """The rows of several views."""
        levels = [torch.cat(level) for level in zip(*(part.levels for part in parts), strict=True)]
        names = ("maps", "facts", "labels", "masks")
        return cls(levels, *(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def select(self, rows: Tensor) -> Self:
        """Some of the rows."""
        others = (getattr(self, name)[rows] for name in ("maps", "facts", "labels", "masks"))
        return type(self)([level[rows] for level in self.levels], *others)

    def __len__(self) -> int:
        return len(self.labels)


def rows_of_normals(teacher: d2.Teacher, queries: Tensor, supports: Tensor, shots: int, draws: int, seed: int) -> Rows:
    """Rows of normal images [N, 3, S, S] and of a copy of them with each kind of lesion, beside draws of supports."""
    rng = np.random.default_rng(seed)
    copies = [lesion(queries, rng).clamp(0, 1) for lesion in ALL_LESIONS]
    encoded = Encoded.of(teacher, torch.cat([queries, *copies]), supports)
    masks = torch.cat([changed(queries, copy) for copy in (queries, *copies)]).float()
    masks = F.adaptive_avg_pool2d(masks.unsqueeze(1), encoded.grid.shape[2:])[:, 0]
    labels = torch.arange(len(masks)) >= len(queries)
    everyone, first = torch.arange(len(masks)), encoded.first_support
    drawn = torch.from_numpy(draw_supports(len(supports), shots, draws, seed=seed))
    return Rows.cat([Rows.of(View(encoded, everyone, first + row), labels, masks) for row in drawn])


def _residuals(view: View) -> list[Tensor]:
    plain, turned = view.task.compared
    found = []
    for level, mirrored, (height, width) in zip(plain.levels, turned.levels, view.task.grids, strict=True):
        both = torch.cat([level[view.supports], mirrored[view.supports]], dim=1)  # (K, 2 P, C)
        others = [one.supports for one in view.left_out()]
        usual = torch.stack(
            [
                _to_nearest(level[[position]], torch.cat([level[rest], mirrored[rest]], dim=1)).mean(dim=(0, 1))
                for position, rest in zip(view.supports.tolist(), others, strict=True)
            ]
        ).mean(dim=0)
        margin = usual.mean()
        parts = [(_to_nearest(part, both) + margin) / (usual + margin) for part in level[view.queries].split(BATCH)]
        found.append(torch.cat(parts).log().transpose(1, 2).unflatten(2, (height, width)).half())
    return found


def _to_nearest(queries: Tensor, supports: Tensor) -> Tensor:
    """|q - s*| [N, P, C] of unit vectors [N, P, C] and those of the supports [K, R, C]."""
    flat = supports.flatten(0, 1)
    nearest = (queries.flatten(0, 1) @ flat.T).argmax(dim=1)
    return (queries - flat[nearest].unflatten(0, queries.shape[:2])).abs()


def _distance_maps(view: View) -> tuple[Tensor, Tensor]:
    """Maps [B, 6, H, W] and the frozen score [B], both as logarithms relative to the supports'."""
    grids = view.task.grids
    near, itself, symmetric = view.mirrored_patches()
    usual = [one.mirrored_patches()[0] for one in view.left_out()]
    scores, whole = scores_and_maps(near, itself if symmetric else None, grids, TOP)
    among = torch.cat([CANDIDATES[FROZEN](one)[0] for one in view.left_out()]).mean()
    own = torch.cat([scores_and_maps(one, None, grids, TOP)[1] for one in usual]).mean()
    parts = [(near.patches, torch.cat([one.patches for one in usual]).mean(), grids[0])]
    for i, grid in enumerate(grids):
        parts.append((near.levels[i], torch.cat([one.levels[i] for one in usual]).mean(), grid))
    parts.append((itself.patches, parts[0][1], grids[0]))
    maps = [_log_ratio(distances, mean).unflatten(1, grid).unsqueeze(1) for distances, mean, grid in parts]
    maps = [F.interpolate(one, size=grids[0], mode="bilinear", align_corners=False) for one in maps]
    maps += [_log_ratio(whole, own).unsqueeze(1), torch.full_like(maps[0], float(symmetric))]
    return torch.cat(maps, dim=1), _log_ratio(scores, among)


def _log_ratio(values: Tensor, usual: Tensor) -> Tensor:
    return (values.clamp_min(SMALLEST) / usual.clamp_min(SMALLEST)).log().clamp(-4, 4)
