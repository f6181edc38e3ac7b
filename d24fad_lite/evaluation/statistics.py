"""Is one method better than another? Paired tests on the same test images and support draws."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import rankdata

from .intervals import LEVEL, RESAMPLES, image_counts, wins
from .metrics import checked
from .report import EvaluationReport

ROUNDING = 1e-12  # below this a difference or an error of AUROCs is arithmetic, not data


def delong_covariance(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs of M scorings of the same images and their covariance over test images.

    DeLong, DeLong and Clarke-Pearson (Biometrics 1988) by the ranks of Sun and Xu (IEEE SPL 2014): the share of pairs
    that each image wins comes from its rank among all less its rank within its class, so no pair is looked at.

    Parameters
    ----------
    labels : int [N], 0 and 1, at least two of each. scores : float [M, N].

    Returns
    -------
    (float [M], float [M, M])

    Raises
    ------
    ValueError : shapes, labels or scores that have no AUROC; fewer than two images of a class.
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
    """Difference of two mean image AUROCs, first less second, over the same draws and test images.

    low, high, p : paired bootstrap over draws and images (patients where known): the figure to report.
    delong_low, delong_high, delong_p : DeLong for these draws, images as independent; None where patients are known
        to have several images, since it would then be too sure. level : of both intervals.
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
    level: float = LEVEL

    def summary(self) -> str:
        """One line with the difference and what it rests on."""
        unit = f"{self.clusters} patients" if self.clusters < self.images else f"{self.images} images"
        delong = "" if self.delong_p is None else f", DeLong p={self.delong_p:.3g}"
        return (f"{self.first} - {self.second}: {self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}], "
                f"p={self.p:.3g}{delong} ({self.draws} draw{'s' * (self.draws != 1)}, {unit})")


def compare_paired(first: EvaluationReport, second: EvaluationReport, *, resamples: int = RESAMPLES,
                   level: float = LEVEL, seed: int = 0) -> PairedComparison:
    """Compare two reports on the same test images and draws (draws of different K must be nested).

    Raises
    ------
    ValueError : reports of other images, labels, draws or protocols.
    """
    require_paired(first, second)
    draws, labels = first.draws, first.labels
    both = np.stack([first.scores, second.scores])  # (2, D, N)
    aurocs, covariance = delong_covariance(labels, both.reshape(2 * draws, -1))
    contrast = np.repeat([1.0, -1.0], draws) / draws  # mean over draws of the first, less that of the second
    difference = float(aurocs[:draws].mean() - aurocs[draws:].mean())
    error = float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    samples = _resampled_differences(labels, both, first.groups, resamples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    beyond = min((samples <= 0).sum(), (samples >= 0).sum())
    clusters = _cluster_count(first.groups)
    reach = NormalDist().inv_cdf(1 - tail) * error
    independent = clusters == len(labels)
    return PairedComparison(
        first.method, second.method, float(aurocs[:draws].mean()), float(aurocs[draws:].mean()), difference,
        float(low), float(high), float(min(1.0, 2 * (beyond + 1) / (len(samples) + 1))),
        difference - reach if independent else None, difference + reach if independent else None,
        _two_sided(difference, error) if independent else None, draws, len(labels), clusters, level)


def delong_test(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """(difference of the AUROCs, its standard error, two-sided p) of two scorings [N] of the same images."""
    aurocs, covariance = delong_covariance(labels, np.stack([first, second]))
    contrast = np.array([1.0, -1.0])
    error = float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    difference = float(aurocs[0] - aurocs[1])
    return difference, error, _two_sided(difference, error)


def require_paired(first: EvaluationReport, second: EvaluationReport) -> None:
    """ValueError unless two reports share test images, labels, protocol and (nested) draws."""
    for what in ("task", "protocol", "names"):
        if getattr(first, what) != getattr(second, what):
            raise ValueError(f"reports {first.method!r} and {second.method!r} differ in {what}; a paired comparison "
                             "needs the same test images under the same protocol")
    if not np.array_equal(first.labels, second.labels):
        raise ValueError(f"reports {first.method!r} and {second.method!r} have different labels for the same images")
    shots = min(first.shots, second.shots)
    same = first.draws == second.draws and all(
        a[:shots] == b[:shots] for a, b in zip(first.support_hashes, second.support_hashes, strict=True))
    if not same:
        raise ValueError(f"reports {first.method!r} ({first.draws} draws, seed {first.seed}) and {second.method!r} "
                         f"({second.draws} draws, seed {second.seed}) rest on different supports; evaluate both with "
                         "the same seed and draws, or replay one manifest")


def _resampled_differences(labels: np.ndarray, scores: np.ndarray, groups: list[str | None], resamples: int,
                           seed: int) -> np.ndarray:
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
    usable = pairs > 0
    return (chosen.T * values)[:, usable].sum(axis=0) / draws / pairs[usable]


def _cluster_count(groups: list[str | None]) -> int:
    return len({group if group is not None else (i,) for i, group in enumerate(groups)})


def _two_sided(difference: float, error: float) -> float:
    if abs(difference) < ROUNDING:
        return 1.0
    if error < ROUNDING:
        return 0.0
    return float(2 * NormalDist().cdf(-abs(difference) / error))
