"""Which support stands apart from the others, for a word of warning beside the scores that depend on it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from d24fad_lite.model.interface import Detector
from d24fad_lite.supports.suspicion import suspicious_supports

ALONE = 0.75  # of the supports' total deviation from their median that one alone accounts for
MOST_PAIRS = 2**32  # of patches that are compared, seconds of a laptop: 64 supports on a grid of 32 by 32


def odd_supports(detector: Detector, images: Tensor) -> tuple[list[float], list[int]]:
    """Suspicion of each of K supports [K, 3, S, S], and the positions of those that stand apart.

    A support stands apart where it alone makes at least three quarters of the deviation from the supports' median
    novelty (`Suspicion.score` is K then at most). Whether it is an anomaly or a rare normal image is for eyes to
    say. Fewer than 3 supports cannot tell which is the odd one, and hundreds would take minutes to compare: then both
    lists are empty.
    """
    level = _affordable_level(detector, len(images))
    if len(images) < 3 or level is None:
        return [], []
    score = suspicious_supports(detector.teacher, images, level=level).score
    return score.tolist(), np.flatnonzero(score >= ALONE * len(score)).tolist()


def _affordable_level(detector: Detector, supports: int) -> int | None:
    """The finest level of the teacher whose patches can be compared in seconds, None where that of none can."""
    for level, (height, width) in enumerate(detector.teacher.grids):
        if (supports * height * width) ** 2 <= MOST_PAIRS:
            return level
    return None
