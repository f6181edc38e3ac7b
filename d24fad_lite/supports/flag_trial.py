"""How well suspicion finds an anomaly among the supports of one task: a trial with planted anomalies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import check_shots
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.shared_teacher import SharedTeacher, shared
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.supports.suspicion import (
    LEVEL,
    SHARE,
    centred_patches,
    distance_to_others,
    mean_of_oddest,
    patch_novelty,
    robust_score,
)


@dataclass(frozen=True)
class FlagTrial:
    """How well suspicion finds one anomaly among K supports.

    Attributes
    ----------
    task : str
        Name of the task.
    scores : ndarray, float [T, K]
        Suspicion in T support sets, the anomaly in the last column.
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
        """One line with both figures, each beside its chance."""
        trials, shots = self.scores.shape
        return (
            f"{self.task}: AUROC of the flag {self.auroc:.3f} (chance 0.5), most suspicious is the anomaly in "
            f"{100 * self.found_first:.0f} % of {trials} sets of {shots} (chance {100 / shots:.0f} %)"
        )


def flag_trial(
    teacher: SharedTeacher | Teacher | D24FAD,
    task: Task,
    shots: int = 8,
    trials: int = 200,
    seed: int = 0,
    *,
    pool: int = 40,
    level: int = LEVEL,
    share: float = SHARE,
) -> FlagTrial:
    """Plant one anomaly of the test set among K - 1 normal training images, many times.

    Parameters
    ----------
    teacher : SharedTeacher, Teacher or D24FAD
    task : Task
    shots : int
        K, at least 3, default 8.
    trials, seed : int
        Support sets that are drawn, default 200, and their seed.
    pool : int
        Normal and anomalous images, at most so many of each, default 40, among which the sets are drawn: distances
        between images are computed once for all sets.
    level, share : int, float
        As for `suspicious_supports`.

    Returns
    -------
    FlagTrial

    Raises
    ------
    ValueError
        Fewer than 3 shots, or too few normal training images.
    """
    check_shots(len(task.train), shots - 1, query=False, name=task.name, location=task.training_location)
    if shots < 3:
        raise ValueError(f"suspicion needs at least 3 supports to tell the odd one, got shots={shots}")
    source, rng = shared(teacher), np.random.default_rng([seed, 98])
    normal = rng.permutation(len(task.train))[: max(pool, shots - 1)]
    bad = rng.permutation(np.flatnonzero(task.test.labels == 1))[:pool]
    images = torch.cat([task.train.images(source.image_size, normal), task.test.images(source.image_size, bad)])
    distances = patch_novelty(centred_patches(source, images, level))
    scores = np.empty((trials, shots))
    for row in scores:
        chosen = rng.choice(len(normal), shots - 1, replace=False)
        members = np.append(chosen, len(normal) + rng.integers(len(bad)))
        row[:] = robust_score(mean_of_oddest(distance_to_others(distances, members), share))
    return FlagTrial(task.name, scores)
