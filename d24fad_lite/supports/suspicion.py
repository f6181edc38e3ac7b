"""Which of the supports does not look like the others? Asked before any test image is seen.

Each support is scored against the remaining ones by its least familiar patches at a fine level. What differs from image
to image for reasons of the camera (exposure, contrast, tint) is taken out first, since it would hide a small lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.evaluation.baselines.nearest_patch import patch_vectors
from d24fad_lite.evaluation.shared_teacher import SharedTeacher, shared
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0  # stride 4 of a ResNet: lesions are small
SHARE = 0.05  # of a support's patches, the least familiar ones, that make its score
MEAN, CONTRAST = 0.45, 0.2  # every image is brought to these, about the middle of what teachers are trained on


@dataclass(frozen=True)
class Suspicion:
    """How odd each of K supports is among the others.

    Attributes
    ----------
    novelty : ndarray, float [K]
        Mean distance (0..2) of the least familiar patches to the other supports.
    score : ndarray, float [K]
        Novelty minus its median over the supports, in units of the mean absolute deviation from the median. A planted
        anomaly tends to score highest. Yet some support scores highest in every set, and where normal tissue varies
        more than the lesion does, the score misleads: look at the image before removing it, and let `flag_trial` say
        how well the score finds anomalies in your task.
    maps : ndarray, float [K, H, W]
        Distance of each patch to the other supports.
    """

    novelty: np.ndarray
    score: np.ndarray
    maps: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Supports from the most to the least suspicious, int [K]."""
        return np.argsort(-self.score, kind="stable")

    def to_frame(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per support, most suspicious first: support, (name,) score, novelty."""
        import pandas as pd

        frame = pd.DataFrame({"support": range(len(self.score)), "score": self.score, "novelty": self.novelty})
        if names is not None:
            frame.insert(1, "name", list(names))
        return frame.iloc[self.order].reset_index(drop=True)


def suspicious_supports(
    teacher: SharedTeacher | Teacher | D24FAD, images: Tensor, *, level: int = LEVEL, share: float = SHARE
) -> Suspicion:
    """Rank K supports by how unlike the others they are; needs no training and no anomaly.

    Parameters
    ----------
    teacher : SharedTeacher, Teacher or D24FAD
    images : Tensor, float [K, 3, S, S] in 0..1
        The supports, at least 3.
    level : int
        The level of the teacher that is compared, from 0 (fine); default 0.
    share : float
        Share of a support's patches, the least familiar ones, that make its score, above 0 and up to 1; default 0.05.

    Returns
    -------
    Suspicion

    Raises
    ------
    ValueError
        Fewer than 3 supports (of two, each is as odd as the other), or a level or share that there is not.
    """
    if len(images) < 3:
        raise ValueError(f"suspicion needs at least 3 supports to tell the odd one, got {len(images)}")
    source = shared(teacher)
    distances = patch_novelty(centred_patches(source, images, level))  # (K, K, P)
    nearest = distance_to_others(distances, np.arange(len(images)))  # (K, P)
    novelty = mean_of_oddest(nearest, share)
    return Suspicion(novelty, robust_score(novelty), nearest.reshape(len(images), *source.teacher.grids[level]))


def centred_patches(teacher: SharedTeacher | Teacher | D24FAD, images: Tensor, level: int = LEVEL) -> Tensor:
    """Unit patch vectors [N, P, C] of images brought to one exposure, minus each channel's mean over the image."""
    source = shared(teacher)
    count = len(source.teacher.channels)
    if not 0 <= level < count:
        raise ValueError(f"level={level!r} must be one of the teacher's levels, 0 (fine) to {count - 1}")
    parts = []
    for part in images.split(32):
        features = source(same_exposure(part)).levels[level]  # (n, C, H, W)
        parts.append(patch_vectors([features - features.mean(dim=(2, 3), keepdim=True)]))
    return torch.cat(parts)


def same_exposure(images: Tensor) -> Tensor:
    """Images [N, 3, S, S] brought to one mean per channel and one contrast, clipped to 0..1."""
    middle = images.mean(dim=(2, 3), keepdim=True)
    spread = images.mean(dim=1, keepdim=True).std(dim=(2, 3), keepdim=True)
    return ((images - middle) / (spread + 1e-3) * CONTRAST + MEAN).clamp(0, 1)


def patch_novelty(patches: Tensor) -> np.ndarray:
    """Distance of each patch of image i to the nearest patch of image j, for unit patches [N, P, C] -> [N, N, P]."""
    count, per_image, _ = patches.shape
    flat = patches.flatten(0, 1).T  # (C, N·P)
    nearest = torch.stack([(image @ flat).view(per_image, count, per_image).amax(dim=2).T for image in patches])
    return (2 - 2 * nearest).clamp_min(0).sqrt().cpu().numpy()


def robust_score(novelty: np.ndarray) -> np.ndarray:
    """Novelty [K] minus its median, in units of the mean absolute deviation from it; all 0 where all are equal."""
    centred = novelty - np.median(novelty)
    spread = np.abs(centred).mean()
    return centred / (spread if spread > 1e-6 else np.inf)


def distance_to_others(distances: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Distance [K, P] of each member's patches to the nearest patch of the other members.

    distances : [N, N, P] as from `patch_novelty`; members : int [K], positions among the N images.
    """
    own = distances[np.ix_(members, members)]  # (K, K, P)
    own[np.arange(len(members)), np.arange(len(members))] = np.inf
    return own.min(axis=1)


def mean_of_oddest(distances: np.ndarray, share: float) -> np.ndarray:
    """Mean over the largest of each image's distances [K, P], a share of them in 0..1, at least one; float [K]."""
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r} must be a share of the patches above 0, up to 1")
    count = max(1, round(share * distances.shape[1]))
    return np.partition(distances, -count, axis=1)[:, -count:].mean(axis=1)
