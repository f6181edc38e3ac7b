"""Intervals of mean AUROCs over training seeds, draws of supports and test images, all three resampled."""

from __future__ import annotations

import numpy as np

from d24fad_lite import Task
from d24fad_lite.evaluation.uncertainty.intervals import image_counts, wins

RESAMPLES = 500


def resampled(task: Task, scores: np.ndarray, seed: int) -> np.ndarray:
    """Mean AUROC [1 + R] of scores [seeds, D, N]: as measured, then with seeds, draws and images resampled.

    The same seed gives every method of a task the same resampled images and draws, so differences are paired.
    """
    labels, generator = task.test.labels, np.random.default_rng([seed, 41])
    counts = np.vstack([np.ones((1, len(labels)), int), image_counts(labels, task.test.groups, generator, RESAMPLES)])
    seeds, draws = scores.shape[:2]
    of_draws = generator.multinomial(draws, [1 / draws] * draws, size=RESAMPLES)
    of_seeds = np.random.default_rng([seed, 42]).multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLES)
    u, v = counts[:, labels == 1].astype(np.float32), counts[:, labels == 0].astype(np.float32)
    pairs = u.sum(axis=1, dtype=np.float64) * v.sum(axis=1, dtype=np.float64)
    pairs[pairs == 0] = np.nan  # a resample of patients can miss a class
    total = np.zeros(1 + RESAMPLES)
    for s in range(seeds):
        for d in range(draws):
            row = scores[s, d]
            weight = np.concatenate([[1 / (seeds * draws)], of_seeds[:, s] * of_draws[:, d] / (seeds * draws)])
            total += weight * ((u @ wins(row[labels == 1], row[labels == 0])) * v).sum(axis=1) / pairs
    return total


def interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Measured value and 95 % percentile interval."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return {name: values[0], f"{name}, low": low, f"{name}, high": high}
