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

from ..data.benchmark import Task
from ..data.episodes import check_shots
from ..model.detector import D24FAD
from ..model.teacher import Teacher
from .metrics import image_auroc
from .nearest_patch import patch_vectors
from .shared_teacher import SharedTeacher, shared

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0  # stride 4 of a ResNet: lesions are small
SHARE = 0.05  # of a support's patches, the least familiar ones, that make its score
MEAN, CONTRAST = 0.45, 0.2  # every image is brought to these, about the middle of what teachers are trained on


@dataclass(frozen=True)
class Suspicion:
    """How odd each of K supports is among the others.

    novelty : float [K], mean distance (0..2) of the least familiar patches to the other supports.
    score : float [K], novelty less its median over the supports, in units of the mean absolute deviation from it. A
        planted anomaly tends to be the highest, yet one of any set is, and where normal tissue varies more than the
        lesion does it misleads: look at the image before removing it, and ask `flag_trial` about your task.
    maps : float [K, H, W], distance of each patch to the other supports.
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


def suspicious_supports(teacher: SharedTeacher | Teacher | D24FAD, images: Tensor, *,
                        level: int = LEVEL, share: float = SHARE) -> Suspicion:
    """Rank K supports [K, 3, S, S] in 0..1 by how unlike the others they are; needs no training and no anomaly.

    Parameters
    ----------
    level : of the teacher's levels, the one that is compared, 0 fine.
    share : of the patches, the oddest, that count.

    Raises
    ------
    ValueError : fewer than 3 supports: of two, each is as odd as the other.
    """
    if len(images) < 3:
        raise ValueError(f"suspicion needs at least 3 supports to tell the odd one, got {len(images)}")
    source = shared(teacher)
    rows = _least(patch_novelty(centred_patches(source, images, level)), np.arange(len(images)))  # (K, P)
    novelty = _oddest(rows, share)
    return Suspicion(novelty, robust_score(novelty), rows.reshape(len(images), *source.teacher.grids[level]))


def centred_patches(teacher: SharedTeacher | Teacher | D24FAD, images: Tensor, level: int = LEVEL) -> Tensor:
    """Unit patch vectors [N, P, C] of images brought to one exposure, each channel less its mean over the image."""
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
    count, places, _ = patches.shape
    flat = patches.flatten(0, 1).T  # (C, N·P)
    nearest = torch.stack([(image @ flat).view(places, count, places).amax(dim=2).T for image in patches])
    return (2 - 2 * nearest).clamp_min(0).sqrt().cpu().numpy()


def robust_score(novelty: np.ndarray) -> np.ndarray:
    """Novelty [K] less its median, in units of the mean absolute deviation from it; all 0 where all are equal."""
    centred = novelty - np.median(novelty)
    spread = np.abs(centred).mean()
    return centred / (spread if spread > 1e-6 else np.inf)


@dataclass(frozen=True)
class FlagTrial:
    """How well suspicion finds one anomaly among K supports.

    scores : float [T, K], suspicion in T support sets, the anomaly in the last column.
    """

    task: str
    scores: np.ndarray

    @property
    def auroc(self) -> float:
        """Of the suspicion as a detector of the planted anomaly, over all sets together; chance is 1/2."""
        labels = np.zeros(self.scores.shape, int)
        labels[:, -1] = 1
        return image_auroc(labels.ravel(), self.scores.ravel())

    @property
    def found_first(self) -> float:
        """Share of the sets whose most suspicious support is the anomaly; chance is 1/K."""
        return float((self.scores.argmax(axis=1) == self.scores.shape[1] - 1).mean())

    def summary(self) -> str:
        """One line with both figures and their chance level."""
        trials, shots = self.scores.shape
        return (f"{self.task}: AUROC of the flag {self.auroc:.3f} (chance 0.5), most suspicious is the anomaly in "
                f"{100 * self.found_first:.0f} % of {trials} sets of {shots} (chance {100 / shots:.0f} %)")


def flag_trial(teacher: SharedTeacher | Teacher | D24FAD, task: Task, shots: int = 8, trials: int = 200, seed: int = 0,
               *, pool: int = 40, level: int = LEVEL, share: float = SHARE) -> FlagTrial:
    """Plant one anomaly of the test set among K - 1 normal training images, many times.

    Distances between images are computed once for at most `pool` normal and `pool` anomalous images, drawn by `seed`.
    """
    check_shots(len(task.train), shots - 1, query=False, name=task.name, place=task.train_place)
    if shots < 3:
        raise ValueError(f"suspicion needs at least 3 supports to tell the odd one, got shots={shots}")
    source, rng = shared(teacher), np.random.default_rng([seed, 98])
    normal = rng.permutation(len(task.train))[: max(pool, shots - 1)]
    bad = rng.permutation(np.flatnonzero(task.test.labels == 1))[:pool]
    images = torch.cat([task.train.images(source.image_size, normal), task.test.images(source.image_size, bad)])
    familiar = patch_novelty(centred_patches(source, images, level))
    scores = np.empty((trials, shots))
    for row in scores:
        chosen = rng.choice(len(normal), shots - 1, replace=False)
        members = np.append(chosen, len(normal) + rng.integers(len(bad)))
        row[:] = robust_score(_oddest(_least(familiar, members), share))
    return FlagTrial(task.name, scores)


def _least(familiar: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Distance [K, P] of each member's patches to the nearest of the other members."""
    own = familiar[np.ix_(members, members)]  # (K, K, P)
    own[np.arange(len(members)), np.arange(len(members))] = np.inf
    return own.min(axis=1)


def _oddest(rows: np.ndarray, share: float) -> np.ndarray:
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r} must be a share of the patches above 0, up to 1")
    count = max(1, round(share * rows.shape[1]))
    return np.partition(rows, -count, axis=1)[:, -count:].mean(axis=1)
