"""Intervals for the mean AUROC over support draws, by resampling both what was drawn and what was tested."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from d24fad_lite.evaluation.metrics import checked

RESAMPLES = 2000
CONFIDENCE = 0.95


def bootstrap_auroc(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    groups: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean image AUROC over draws.

    Each resample takes support draws with replacement and, independently of that, test images with replacement within
    each class; a resampled image keeps its scores in all draws. An interval over the draws alone would be narrower
    and would say nothing about other test images.

    Parameters
    ----------
    labels : int [N]
        0 normal, 1 anomalous.
    scores : float [D, N]
        Of N test images for D support draws; higher is more anomalous.
    groups : sequence of N str or None, optional
        Patient names. Where any is known, whole patients are resampled: all images of a patient together, across
        classes.
    resamples : int, default 2000
    confidence : float in 0..1, default 0.95
        Share of such intervals that should hold the true value.
    seed : int, default 0
        Of the resampling.

    Returns
    -------
    (low, high) : float, in 0..1

    Raises
    ------
    ValueError
        Labels without both classes, shapes that do not fit, scores that are not finite.

    Notes
    -----
    The AUROC of weighted images is u' W v / (sum u · sum v) with W the matrix of won pairs (1, ties 1/2), so all
    resamples are a few matrix products.
    """
    labels, scores = np.asarray(labels), np.atleast_2d(scores)
    checked(labels, scores[0])
    generator = np.random.default_rng([seed, 95])
    image_weights = image_counts(labels, groups, generator, resamples)  # (R, N)
    u, v = image_weights[:, labels == 1].astype(np.float32), image_weights[:, labels == 0].astype(np.float32)
    values = np.empty((len(scores), resamples))
    for draw, row in enumerate(scores):
        won = wins(row[labels == 1], row[labels == 0])  # (P, M)
        values[draw] = ((u @ won) * v).sum(axis=1)
    pairs = u.sum(axis=1, dtype=np.float64) * v.sum(axis=1, dtype=np.float64)
    usable = pairs > 0  # a resample of patients can miss a class; it has no AUROC
    draws = len(scores)
    draw_weights = generator.multinomial(draws, [1 / draws] * draws, size=resamples)  # (R, D)
    means = (draw_weights.T * values)[:, usable].sum(axis=0) / draws / pairs[usable]
    return percentile_interval(means, confidence)


def percentile_interval(samples: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The middle share `confidence` of resampled values [R]: (low, high)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_p(samples: np.ndarray) -> float:
    """Two-sided p value of a difference being zero, from its resampled values [R]; never below 2 / (R + 1)."""
    beyond = min((samples <= 0).sum(), (samples >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (len(samples) + 1)))


def wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Pairs won: float32 [P, M], 1 where the positive score is higher, 1/2 for ties; its mean is the AUROC."""
    above = positive[:, None] > negative[None, :]
    equal = positive[:, None] == negative[None, :]
    return above.astype(np.float32) + equal.astype(np.float32) / 2


def image_counts(
    labels: np.ndarray, groups: Sequence[str | None] | None, generator: np.random.Generator, resamples: int
) -> np.ndarray:
    """How often each image is in each resample, int [R, N]: whole patients where any is known, else within classes."""
    if groups is not None and any(group is not None for group in groups):
        return _patient_counts(groups, generator, resamples)
    return _class_counts(labels, generator, resamples)


def _class_counts(labels: np.ndarray, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Each class keeps its number of images in every resample."""
    counts = np.zeros((resamples, len(labels)), np.int32)
    for label in (0, 1):
        members = np.flatnonzero(labels == label)
        counts[:, members] = generator.multinomial(len(members), [1 / len(members)] * len(members), size=resamples)
    return counts


def _patient_counts(groups: Sequence[str | None], generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Patients are resampled with all their images; an image without a known patient is a patient of its own."""
    names = [group if group is not None else f"\0{i}" for i, group in enumerate(groups)]
    unique, patient_of = np.unique(names, return_inverse=True)
    counts = generator.multinomial(len(unique), [1 / len(unique)] * len(unique), size=resamples)
    return counts[:, patient_of]
