"""Is one method better than another? Paired tests on the same test images and support draws."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
from scipy.stats import rankdata

from d24fad_lite.evaluation.metrics import checked
from d24fad_lite.evaluation.uncertainty.intervals import (
    CONFIDENCE,
    RESAMPLES,
    bootstrap_p,
    image_counts,
    percentile_interval,
    wins,
)

ROUNDING = 1e-12  # below this a difference or an error of AUROCs is arithmetic, not data


class DrawnScores(Protocol):
    """What a comparison reads of an `EvaluationReport`: scores over draws, and what they rest on."""

    task: str
    method: str
    protocol: str
    shots: int
    seed: int
    labels: np.ndarray  # int [N]
    names: list[str]  # of the N test images
    groups: list[str | None]  # their patients
    scores: np.ndarray  # float [D, N]
    support_hashes: list[list[str]]  # [D][K]

    @property
    def draws(self) -> int: ...


def delong_covariance(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs of M scorings of the same images and their covariance over test images.

    The share of pairs that an image wins is its rank among all images minus its rank within its class, so no pair is
    looked at.

    Parameters
    ----------
    labels : int [N]
        0 and 1, at least two of each.
    scores : float [M, N]
        Higher is more anomalous.

    Returns
    -------
    aurocs : float [M], in 0..1
    covariance : float [M, M]

    Raises
    ------
    ValueError
        Shapes, labels or scores that have no AUROC; fewer than two images of a class.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics 1988; by ranks: Sun and Xu, IEEE Signal Processing Letters 2014.
    """
    scores = np.atleast_2d(np.asarray(scores, np.float64))
    for row in scores:
        labels, _ = checked(labels, row)
    positive, negative = scores[:, labels == 1], scores[:, labels == 0]
    m, n = positive.shape[1], negative.shape[1]
    if min(m, n) < 2:
        raise ValueError(f"a variance needs at least 2 images of each class, found {n} normal and {m} anomalous")
    ranks = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    won = (ranks[:, :m] - rankdata(positive, axis=1)) / n  # share of normals below each anomalous image, (M, m)
    lost = 1 - (ranks[:, m:] - rankdata(negative, axis=1)) / m  # share of anomalous above each normal one, (M, n)
    return won.mean(axis=1), np.atleast_2d(np.cov(won)) / m + np.atleast_2d(np.cov(lost)) / n


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two mean image AUROCs, first minus second, over the same draws and test images.

    Attributes
    ----------
    first, second : str
        Names of the methods.
    auroc_first, auroc_second, difference : float
    low, high, p : float
        Interval and two-sided p value of the paired bootstrap over draws and images (patients where known): the
        numbers to report.
    delong_low, delong_high, delong_p : float or None
        The same by DeLong for these very draws, with images taken as independent. None where patients are known to
        have several images, since DeLong would then claim too much certainty.
    draws, images, clusters : int
        Support draws, test images, and patients (images without a known patient count singly).
    confidence : float
        Of both intervals.
    """

    first: str
    second: str
    auroc_first: float
    auroc_second: float
    difference: float
    low: float
    high: float
    p: float
    delong_low: float | None
    delong_high: float | None
    delong_p: float | None
    draws: int
    images: int
    clusters: int
    confidence: float = CONFIDENCE

    def summary(self) -> str:
        """One line with the difference and what it rests on."""
        unit = f"{self.clusters} patients" if self.clusters < self.images else f"{self.images} images"
        delong = "" if self.delong_p is None else f", DeLong p={self.delong_p:.3g}"
        return (
            f"{self.first} - {self.second}: {self.difference:+z.3f} [{self.low:+z.3f}, {self.high:+z.3f}], "
            f"p={self.p:.3g}{delong} ({self.draws} draw{'s' * (self.draws != 1)}, {unit})"
        )


def compare_paired(
    first: DrawnScores,
    second: DrawnScores,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairedComparison:
    """Compare two reports on the same test images and draws.

    Parameters
    ----------
    first, second : EvaluationReport
        Of the same task, protocol and draws; draws of different K must be nested, as those of one seed are.
    resamples : int, default 2000
        Of the paired bootstrap.
    confidence : float in 0..1, default 0.95
        Of the intervals.
    seed : int, default 0
        Of the resampling.

    Returns
    -------
    PairedComparison

    Raises
    ------
    ValueError
        Reports of other images, labels, draws or protocols.
    """
    require_paired(first, second)
    draws, labels = first.draws, first.labels
    both = np.stack([first.scores, second.scores])  # (2, D, N)
    aurocs, covariance = delong_covariance(labels, both.reshape(2 * draws, -1))
    mean_first, mean_second = float(aurocs[:draws].mean()), float(aurocs[draws:].mean())
    difference = float(aurocs[:draws].mean() - aurocs[draws:].mean())
    contrast = np.repeat([1.0, -1.0], draws) / draws  # mean over draws of the first minus that of the second
    error = float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    samples = _resampled_differences(labels, both, first.groups, resamples, seed)
    low, high = percentile_interval(samples, confidence)
    clusters = _cluster_count(first.groups)
    half_width = NormalDist().inv_cdf(1 - (1 - confidence) / 2) * error
    independent = clusters == len(labels)
    return PairedComparison(
        first=first.method,
        second=second.method,
        auroc_first=mean_first,
        auroc_second=mean_second,
        difference=difference,
        low=low,
        high=high,
        p=bootstrap_p(samples),
        delong_low=difference - half_width if independent else None,
        delong_high=difference + half_width if independent else None,
        delong_p=_two_sided(difference, error) if independent else None,
        draws=draws,
        images=len(labels),
        clusters=clusters,
        confidence=confidence,
    )


def require_paired(first: DrawnScores, second: DrawnScores) -> None:
    """ValueError unless two reports share test images, labels, protocol and (nested) draws."""
    for what in ("task", "protocol", "names"):
        if getattr(first, what) != getattr(second, what):
            raise ValueError(
                f"reports {first.method!r} and {second.method!r} differ in {what}; a paired comparison "
                "needs the same test images under the same protocol"
            )
    if not np.array_equal(first.labels, second.labels):
        raise ValueError(f"reports {first.method!r} and {second.method!r} have different labels for the same images")
    shots = min(first.shots, second.shots)
    same = first.draws == second.draws and all(
        a[:shots] == b[:shots] for a, b in zip(first.support_hashes, second.support_hashes, strict=True)
    )
    if not same:
        raise ValueError(
            f"reports {first.method!r} ({first.draws} draws, seed {first.seed}) and {second.method!r} "
            f"({second.draws} draws, seed {second.seed}) rest on different supports; evaluate both with "
            "the same seed and draws, or pass the supports of one report to evaluate() of the other"
        )


def _resampled_differences(
    labels: np.ndarray, scores: np.ndarray, groups: list[str | None], resamples: int, seed: int
) -> np.ndarray:
    """Differences [R] of mean AUROC for scores [2, D, N]; both methods see the same resampled images and draws."""
    generator = np.random.default_rng([seed, 96])
    counts = image_counts(labels, groups, generator, resamples)
    u, v = counts[:, labels == 1].astype(np.float32), counts[:, labels == 0].astype(np.float32)
    draws = scores.shape[1]
    values = np.zeros((draws, resamples))
    for draw in range(draws):
        first, second = (wins(row[labels == 1], row[labels == 0]) for row in scores[:, draw])
        values[draw] = ((u @ (first - second)) * v).sum(axis=1)
    pairs = u.sum(axis=1, dtype=np.float64) * v.sum(axis=1, dtype=np.float64)
    chosen = generator.multinomial(draws, [1 / draws] * draws, size=resamples)  # (R, D)
    usable = pairs > 0  # a resample of patients can miss a class; it has no AUROC
    return (chosen.T * values)[:, usable].sum(axis=0) / draws / pairs[usable]


def _cluster_count(groups: list[str | None]) -> int:
    """Patients, where an image without a known patient is one of its own."""
    return len({group if group is not None else (i,) for i, group in enumerate(groups)})


def _two_sided(difference: float, error: float) -> float:
    """Two-sided p value of a difference that is normally distributed with this standard error."""
    if abs(difference) < ROUNDING:
        return 1.0
    if error < ROUNDING:
        return 0.0
    return float(2 * NormalDist().cdf(-abs(difference) / error))
