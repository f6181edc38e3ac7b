"""Distance of mean features as a detector, with a map that says where the distance comes from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from d24fad_lite.evaluation.baselines.banks import VectorBank
from d24fad_lite.evaluation.baselines.detector import BaselineDetector
from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature, mean_vectors
from d24fad_lite.evaluation.baselines.nearest_patch import compared_levels
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.anomaly_map import gaussian_blur, sum_levels
from d24fad_lite.model.features import Prediction

SMALLEST = 1e-12  # lengths below it have no direction; that of F.normalize


class MeanFeatureDetector(BaselineDetector):
    """Distance of an image's mean teacher features to the supports' mean: one vector for each image.

    The score is |v - m|, with v the levels' mean features, each of unit length, and m their mean over the supports.
    The map divides this very number among the positions: before upsampling and blur, the contributions
    <f_p / |mean f| - m, (v - m) / |v - m|> of a level's positions p have a mean, and these means over the levels add
    up to |v - m|. A negative contribution draws the image towards the supports. Every support counts 1/K.

    Parameters
    ----------
    config : D24FADConfig, optional
        Of it are read `teacher`, `weights`, `image_size`, `normalize`, `blur_sigma`, `seed`.
    teacher : Teacher, optional
        One that was built with these settings, to share it; default: one of its own.
    levels : sequence of int, optional
        Positions among the teacher's levels, 0 the finest; default all.

    Raises
    ------
    ValueError
        A level that the teacher does not have, a teacher of another image size.
    """

    method = "mean-feature"

    def vectors(self, images: Tensor, role: str = "images") -> Tensor:
        """Mean features [N, 1, sum C_l] of images [N, 3, S, S] in 0..1."""
        with torch.no_grad():
            return mean_vectors(self._teacher_levels(images, role)).unsqueeze(1)

    def predict(self, queries: Tensor, bank: VectorBank) -> Prediction:
        """Scores [B], maps of contributions [B, S, S] and support weights [B, 1, K] of B queries, each by itself.

        Raises
        ------
        ValueError : images that are not of shape [B, 3, S, S], float, in 0..1.
        """
        self.require_own(bank)
        c = self.config
        with torch.no_grad():
            levels = self._teacher_levels(queries, "queries")
        center = bank.vectors.mean(dim=(0, 1))  # m, (C,)
        difference = mean_vectors(levels) - center  # (B, C)
        distance = difference.norm(dim=1)
        shares = contributions(levels, center, difference / distance.clamp_min(SMALLEST)[:, None])
        maps = gaussian_blur(sum_levels(shares, c.image_size, align_corners=False), c.blur_sigma)
        weights = torch.full((len(distance), 1, len(bank)), 1 / len(bank), device=distance.device)
        return Prediction(distance, maps, weights)

    def scorer(self, maps: bool = True) -> MeanFeature:
        """This method for `evaluate`, which reads many draws of supports at once; it gives no maps."""
        return MeanFeature(SharedTeacher(self.teacher, levels=max(self.levels) + 1), self.levels)

    def _levels(self, levels: Sequence[int] | None) -> list[int]:
        return compared_levels(self.teacher, range(len(self.teacher.channels)) if levels is None else levels)


def contributions(levels: Sequence[Tensor], center: Tensor, direction: Tensor) -> list[Tensor]:
    """How much each position moves an image's mean feature along a direction -> L of [B, H_l, W_l].

    levels : L of [B, C_l, H_l, W_l]; center : [sum C_l]; direction : [B, sum C_l], of unit length
    """
    channels = [level.shape[1] for level in levels]
    parts = zip(levels, center.split(channels), direction.split(channels, dim=1), strict=True)
    result = []
    for level, middle, towards in parts:
        length = level.mean(dim=(2, 3)).norm(dim=1).clamp_min(SMALLEST)  # |mean f|, as F.normalize has it
        scaled = torch.einsum("bchw,bc->bhw", level, towards) / length[:, None, None]
        result.append(scaled - (towards @ middle)[:, None, None])
    return result
