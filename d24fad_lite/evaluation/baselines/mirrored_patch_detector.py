"""Nearest patch with mirror images, as a detector and as a scorer of many draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.evaluation.baselines.banks import VectorBank
from d24fad_lite.evaluation.baselines.detector import ENCODED_AT_ONCE, BaselineDetector
from d24fad_lite.evaluation.baselines.mirrored_patch import Compared, Distances, MirroredBank, scores_and_maps
from d24fad_lite.evaluation.baselines.nearest_patch import compared_levels, distance_maps
from d24fad_lite.evaluation.scorer import ScoredBatch
from d24fad_lite.model.features import Prediction
from d24fad_lite.model.image_input import require_supports


class MirroredPatchDetector(BaselineDetector):
    """Nearest patch, with the supports' mirror images and, where anatomy is symmetric, with the query's own one.

    Needs no training and has no setting to tune: a choice made on development data and frozen since, see
    benchmarks/FEW_NORMALS.md for the readings it was chosen among. The equations stand in `mirrored_patch.py`. A
    support's weight is the share of an image's patches whose nearest patch it, or its mirror image, holds.

    Parameters
    ----------
    config : D24FADConfig, optional
        Of it are read `teacher`, `weights`, `image_size`, `normalize`, `top_share`, `blur_sigma` and `seed`; the image
        score is its own, whatever `image_score` says.
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
    >>> detector = MirroredPatchDetector(D24FADConfig(weights="random", image_size=64))
    >>> bank = detector.encode_supports(torch.rand(4, 3, 64, 64))
    >>> detector.predict(torch.rand(2, 3, 64, 64), bank).anomaly_map.shape
    torch.Size([2, 64, 64])
    """

    method = "mirrored-patch"
    bank = MirroredBank

    @property
    def grids(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of the compared levels."""
        return [self.teacher.grids[i] for i in self.levels]

    def vectors(self, images: Tensor, role: str = "images") -> Tensor:
        """Unit patch vectors [N, P, C] of images [N, 3, S, S] in 0..1, as nearest patch has them."""
        return self.compared(images, role).patches

    def compared(self, images: Tensor, role: str = "images") -> Compared:
        """What is compared of images [N, 3, S, S] in 0..1."""
        with torch.no_grad():
            return Compared.of(self._teacher_levels(images, role))

    def encode_supports(self, images: Tensor) -> MirroredBank:
        """Supports [K, 3, S, S] in 0..1 and their mirror images; the bank's length is K.

        Raises
        ------
        ValueError : no image, or images that are not of this shape and range.
        """
        require_supports(images)
        parts = images.split(ENCODED_AT_ONCE)
        plain = Compared.cat([self.compared(part, "supports") for part in parts])
        mirrored = Compared.cat([self.compared(part.flip(-1), "supports") for part in parts])
        return MirroredBank.of(plain, mirrored, self.grids)

    def own_mirror(self, images: Tensor, compared: Compared) -> Distances:
        """Distances [N, P] of images [N, 3, S, S], of which `compared` is known, to their own mirror images."""
        return compared.own_mirror(self.compared(images.flip(-1)), self.grids)

    def predict(self, queries: Tensor, bank: VectorBank) -> Prediction:
        """Scores [B], anomaly maps [B, S, S] and support weights [B, 1, K] of B queries, each by itself.

        Raises
        ------
        ValueError : images that are not of shape [B, 3, S, S], float, in 0..1; a bank of another method.
        """
        self.require_own(bank)
        assert isinstance(bank, MirroredBank)
        c, compared = self.config, self.compared(queries, "queries")
        to_each = compared.nearest(bank.compared)  # (B, K, P)
        own = self.own_mirror(queries, compared) if bank.symmetric else None
        everyone = torch.arange(len(bank), device=bank.vectors.device)
        scores, maps = scores_and_maps(to_each.of_supports(everyone), own, self.grids, c.top_share)
        holders = F.one_hot(to_each.patches.argmin(dim=1), len(bank)).to(scores.dtype)  # (B, P, K)
        return Prediction(scores, distance_maps(maps, c.image_size, c.blur_sigma), holders.mean(dim=1).unsqueeze(1))

    def scorer(self, maps: bool = True) -> MirroredPatch:
        """This method for `evaluate`, which reads many draws of supports at once."""
        return MirroredPatch(self, maps=maps)

    def _levels(self, levels: Sequence[int] | None) -> list[int]:
        return compared_levels(self.teacher, levels)


@dataclass(frozen=True)
class MirroredMemory:
    """U distinct supports, which of them each draw uses, int [D, K], and which draws are symmetric."""

    supports: MirroredBank
    draws: list[Tensor]
    symmetric: list[bool]


class MirroredPatch:
    """Nearest patch with mirror images for `evaluate`; each image is compared with each distinct support once.

    Parameters
    ----------
    detector : MirroredPatchDetector
    maps : bool, default True
        False saves time and memory where only scores are needed.
    name : str, default "mirrored patch"
        Shown in reports and tables.
    """

    def __init__(self, detector: MirroredPatchDetector, *, maps: bool = True, name: str = "mirrored patch") -> None:
        self.detector, self.maps, self.name = detector, maps, name
        self.image_size = detector.config.image_size

    def prepare(self, images: Tensor, draws: np.ndarray) -> MirroredMemory:
        """The supports [U, 3, S, S] of all draws [D, K]."""
        bank, chosen = self.detector.encode_supports(images), [torch.from_numpy(row) for row in draws]
        return MirroredMemory(bank, chosen, [bank.select(row).symmetric for row in chosen])

    def score(self, images: Tensor, prepared: MirroredMemory) -> ScoredBatch:
        """Scores [D, B] and maps [D, B, S, S] of test images [B, 3, S, S]."""
        c, grids = self.detector.config, self.detector.grids
        compared = self.detector.compared(images)
        to_each = compared.nearest(prepared.supports.compared)  # (B, U, P)
        own = self.detector.own_mirror(images, compared) if any(prepared.symmetric) else None
        results = [
            scores_and_maps(to_each.of_supports(draw), own if symmetric else None, grids, c.top_share)
            for draw, symmetric in zip(prepared.draws, prepared.symmetric, strict=True)
        ]
        scores = torch.stack([score for score, _ in results]).cpu().numpy()
        if not self.maps:
            return ScoredBatch(scores, None)
        maps = [distance_maps(low, c.image_size, c.blur_sigma) for _, low in results]
        return ScoredBatch(scores, torch.stack(maps).cpu().numpy())
