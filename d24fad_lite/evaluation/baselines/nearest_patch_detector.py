"""Nearest support patch as a detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from d24fad_lite.evaluation.baselines.banks import VectorBank
from d24fad_lite.evaluation.baselines.detector import BaselineDetector
from d24fad_lite.evaluation.baselines.nearest_patch import (
    NearestPatch,
    compared_levels,
    distance_maps,
    largest_cosine,
    patch_vectors,
    unit_distance,
)
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.anomaly_map import image_score
from d24fad_lite.model.features import Prediction


class NearestPatchDetector(BaselineDetector):
    """Distance of each patch to the nearest patch of any support, in a frozen teacher's features.

    After PatchCore (Roth et al., CVPR 2022) with all patches of a few supports. The image score is the maximum, mean or
    top share of the patch distances (0..2), as `config.image_score` says; the map is these distances, upsampled and
    blurred. A support's weight is the share of an image's patches whose nearest patch it holds.

    Parameters
    ----------
    config : D24FADConfig, optional
        Of it are read `teacher`, `weights`, `image_size`, `normalize`, `image_score`, `top_share`, `blur_sigma`
        and `seed`.
    teacher : Teacher, optional
        One that was built with these settings, to share it; default: one of its own.
    levels : sequence of int, optional
        Positions among the teacher's levels, 0 the finest; default all but the finest, as PatchCore does.

    Raises
    ------
    ValueError
        A level that the teacher does not have, a teacher of another image size.

    Examples
    --------
    >>> from d24fad_lite.model.config import D24FADConfig
    >>> detector = NearestPatchDetector(D24FADConfig(weights="random", image_size=64))
    >>> bank = detector.encode_supports(torch.rand(4, 3, 64, 64))
    >>> detector.predict(torch.rand(2, 3, 64, 64), bank).weights.shape
    torch.Size([2, 1, 4])
    """

    method = "nearest-patch"

    def vectors(self, images: Tensor, role: str = "images") -> Tensor:
        """Unit patch vectors [N, P, C] of images [N, 3, S, S] in 0..1."""
        with torch.no_grad():
            return patch_vectors(self._teacher_levels(images, role))

    def predict(self, queries: Tensor, bank: VectorBank) -> Prediction:
        """Scores [B], anomaly maps [B, S, S] and support weights [B, 1, K] of B queries, each by itself.

        Raises
        ------
        ValueError : images that are not of shape [B, 3, S, S], float, in 0..1.
        """
        self.require_own(bank)
        c = self.config
        vectors = self.vectors(queries, "queries")  # (B, P, C)
        flat = vectors.flatten(0, 1)
        cosines = torch.stack([largest_cosine(flat, support) for support in bank.vectors])  # (K, B·P)
        nearest, holder = cosines.max(dim=0)
        distances = unit_distance(nearest).view(len(vectors), *self.teacher.grids[self.levels[0]])  # (B, H, W)
        holders = torch.nn.functional.one_hot(holder.view(len(vectors), -1), len(bank)).to(distances.dtype)  # (B, P, K)
        return Prediction(
            image_score(distances, c.image_score, c.top_share),
            distance_maps(distances, c.image_size, c.blur_sigma),
            holders.mean(dim=1).unsqueeze(1),
        )

    def scorer(self, maps: bool = True) -> NearestPatch:
        """This method for `evaluate`, which reads many draws of supports at once."""
        c = self.config
        return NearestPatch(
            SharedTeacher(self.teacher, levels=max(self.levels) + 1),
            self.levels,
            c.image_score,
            top_share=c.top_share,
            blur_sigma=c.blur_sigma,
            maps=maps,
        )

    def _levels(self, levels: Sequence[int] | None) -> list[int]:
        return compared_levels(self.teacher, levels)
