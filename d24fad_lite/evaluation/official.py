"""The released code's evaluation, which leaks. It exists to show and measure the difference, never for a headline.

Four faults in one pass: its Gaussian filter runs over a [B, H, W] stack and so also blurs across the images of a batch,
while the loader is sorted by class, so that an image's score is mixed with those of other images of its class; the last
incomplete batch is dropped; and scores are min-max scaled over the test set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from tqdm.auto import tqdm

from d24fad_lite.data.benchmark import Task
from d24fad_lite.evaluation.scorer import RawMapScorer, Scorer
from d24fad_lite.model.anomaly_map import image_score

BATCH = 16


def official_scores(scorer: Scorer, task: Task, prepared: Any, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Scores by the released code's evaluation.

    Parameters
    ----------
    scorer : RawMapScorer
        A D24FAD as a scorer, or one like it.
    task : Task
    prepared
        What `scorer.prepare` returned.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    scores : float [D, M], in 0..1
    tested : int [M]
        Positions of the test images that the protocol keeps, sorted by class.

    Raises
    ------
    ValueError
        A scorer without raw maps, fewer test images than one batch.
    """
    scorer, tested = require_raw_maps(scorer), whole_batches(task)
    config = scorer.model.config
    blocks = []
    for start in tqdm(range(0, len(tested), BATCH), desc="official", disable=not progress, leave=False):
        images = task.test.images(scorer.image_size, tested[start : start + BATCH])
        raw = scorer.raw_maps(images, prepared)  # (D, 16, S, S)
        leaky = np.stack([gaussian_filter(stack, config.blur_sigma) for stack in raw])  # also along the batch axis
        flat = torch.from_numpy(leaky).flatten(0, 1)  # (D * 16, S, S)
        blocks.append(image_score(flat, config.image_score, config.top_share).view(leaky.shape[:2]).numpy())
    scores = np.concatenate(blocks, axis=1).astype(np.float64)  # (D, M)
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    return (scores - low) / np.maximum(high - low, np.finfo(float).tiny), tested


def require_raw_maps(scorer: Scorer) -> RawMapScorer:
    """The scorer itself; ValueError where it gives no maps before the blur."""
    if not isinstance(scorer, RawMapScorer):
        raise ValueError(
            f"protocol='official' blurs raw anomaly maps across a batch; {scorer.name!r} gives none "
            "(raw_maps is missing)"
        )
    return scorer


def whole_batches(task: Task) -> np.ndarray:
    """Positions int [M] of the test images that the protocol keeps, sorted by class; ValueError where none is left."""
    by_class = np.argsort(task.test.labels, kind="stable")
    tested = by_class[: len(by_class) // BATCH * BATCH]
    if len(tested) == 0:
        raise ValueError(
            f"protocol='official' drops incomplete batches of {BATCH}; task {task.name!r} has only "
            f"{len(by_class)} test images"
        )
    return tested
