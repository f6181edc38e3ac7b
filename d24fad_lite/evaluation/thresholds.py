"""Decision thresholds from normal images alone, with a false-alarm rate that is promised only where it can be.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005): if n calibration scores and the score of a new normal
image are exchangeable, the rank of the new one among the n + 1 is uniform. A threshold at the ceil((n+1)(1-alpha))-th
calibration score is then exceeded by a new normal image with probability at most alpha, whatever the distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from torch import Tensor

from ..model.detector import D24FAD
from .scorer import Scorer, as_scorer


class ThresholdError(ValueError):
    """The normal images at hand are too few for the false-alarm rate that was asked for."""


@dataclass(frozen=True)
class Threshold:
    """A score above `value` is an alarm.

    value : on the scorer's scale. alpha : target false-alarm rate. scores : the n calibration scores, sorted.
    basis : "extra normals" (exact in finite samples) or "leave-one-out" (approximate: a support is scored against
        K - 1 others, a new image against K).
    """

    value: float
    alpha: float
    scores: np.ndarray
    basis: str

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def exact(self) -> bool:
        return self.basis == "extra normals"

    def alarms(self, scores: np.ndarray) -> np.ndarray:
        """bool [N]: which scores lie above the threshold."""
        return np.asarray(scores) > self.value

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Conformal p-value of each score, see `conformal_p_values`; an alarm is p <= alpha."""
        return conformal_p_values(self.scores, scores)

    def false_alarm_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Where the true false-alarm rate of this very threshold lies, over the luck of the calibration images.

        alpha is an average over calibration sets; with few images a single one can be far from it. For scores without
        ties the rate follows Beta(n + 1 - k, k), k the rank used (Vovk, 2012).
        """
        return false_alarm_interval(self.n, self.alpha, level)

    def summary(self) -> str:
        """One line with the threshold and how much it can be trusted."""
        low, high = self.false_alarm_interval()
        promise, how = ("at most", "") if self.exact else ("about", "roughly ")
        return (f"alarm above {self.value:.4g}: {promise} {100 * self.alpha:.3g} % false alarms on average, from "
                f"{self.n} normal images ({self.basis}); this one has a rate {how}between {100 * low:.2g} and "
                f"{100 * high:.2g} % (95 %)")


def conformal_p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(1 + calibration scores at least as high) / (n + 1) for each score, float [N].

    Under exchangeability P(p <= alpha) <= alpha for a normal image. The smallest possible value is 1 / (n + 1).
    """
    ordered = np.sort(_finite(calibration))
    at_least = len(ordered) - np.searchsorted(ordered, _finite(scores), side="left")
    return (1 + at_least) / (len(ordered) + 1)


def conformal_threshold(calibration: np.ndarray, alpha: float, basis: str = "extra normals") -> Threshold:
    """The lowest threshold that keeps false alarms at alpha or below.

    Parameters
    ----------
    calibration : float [n], scores of normal images that the method has not seen.
    alpha : target false-alarm rate, between 0 and 1.

    Raises
    ------
    ThresholdError : n too small: below 1/alpha - 1 images no threshold keeps the promise except "never an alarm".
    """
    ordered = np.sort(_finite(calibration))
    rank = _rank(len(ordered), alpha)
    if rank > len(ordered):
        needed = images_needed(alpha)
        raise ThresholdError(
            f"{len(ordered)} normal images cannot promise a false-alarm rate of {alpha:g}: the lowest they can is "
            f"1/(n+1) = {1 / (len(ordered) + 1):.3g}; give at least {needed} normal images beside the supports, "
            "or accept a higher rate")
    return Threshold(float(ordered[rank - 1]), alpha, ordered, basis)


def images_needed(alpha: float) -> int:
    """Smallest number of normal calibration images that can promise alpha: ceil(1/alpha) - 1."""
    _rank(1, alpha)
    return int(np.ceil(1 / alpha - 1e-9)) - 1


def false_alarm_interval(n: int, alpha: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the realised false-alarm rate over calibration sets of n images, see `Threshold`."""
    rank = _rank(n, alpha)
    if rank > n:
        raise ThresholdError(f"{n} normal images cannot promise a false-alarm rate of {alpha:g}; "
                             f"at least {images_needed(alpha)} are needed")
    tail = (1 - level) / 2
    low, high = beta.ppf([tail, 1 - tail], n + 1 - rank, rank)
    return float(low), float(high)


def leave_one_out_scores(model: D24FAD | Scorer, supports: Tensor) -> np.ndarray:
    """Score of each support [K, 3, S, S] against the K - 1 others, float [K].

    With one support less the scores tend to be a little high, so a threshold from them errs on the quiet side.

    Raises
    ------
    ValueError : fewer than 2 supports.
    """
    count = len(supports)
    if count < 2:
        raise ValueError(f"leave-one-out needs at least 2 supports, got {count}")
    scorer = as_scorer(model)
    others = np.array([[j for j in range(count) if j != i] for i in range(count)])  # (K, K - 1)
    prepared = scorer.prepare(supports, others)
    parts = [scorer.score(part, prepared).scores for part in supports.split(16)]
    return np.concatenate(parts, axis=1).diagonal().astype(np.float64)


def normal_scores(model: D24FAD | Scorer, supports: Tensor, normals: Tensor) -> np.ndarray:
    """Scores of further normal images [M, 3, S, S] against all K supports, float [M]."""
    scorer = as_scorer(model)
    prepared = scorer.prepare(supports, np.arange(len(supports))[None])
    parts = [scorer.score(part, prepared).scores[0] for part in normals.split(16)]
    return np.concatenate(parts).astype(np.float64)


def calibrate(model: D24FAD | Scorer, supports: Tensor, alpha: float = 0.1,
              normals: Tensor | None = None) -> Threshold:
    """A threshold from supports and, better, further normal images; never from an anomaly.

    Where the further images alone suffice for alpha, only they are used: then the promise is exact. Otherwise the
    leave-one-out scores of the supports join them, and the result says that it is approximate.

    Parameters
    ----------
    supports : [K, 3, S, S] in 0..1. alpha : target false-alarm rate. normals : [M, 3, S, S] in 0..1, not supports.

    Raises
    ------
    ThresholdError : K + M images are too few for alpha (4 supports alone promise no rate below 1/5).
    ValueError : a further normal image is one of the supports.
    """
    extra = 0 if normals is None else len(normals)
    needed, available = images_needed(alpha), extra + (len(supports) if len(supports) > 1 else 0)
    if available < needed:
        raise ThresholdError(
            f"{len(supports)} supports and {extra} further normal images cannot promise a false-alarm rate of "
            f"{alpha:g}: the lowest they can is {1 / (available + 1):.3g}; give {needed} further normal images, "
            "or accept a higher rate")
    if normals is not None and extra:
        _require_new(supports, normals)
        scores = normal_scores(model, supports, normals)
        if extra >= needed:
            return conformal_threshold(scores, alpha)
        both = np.concatenate([leave_one_out_scores(model, supports), scores])
        return conformal_threshold(both, alpha, "leave-one-out")
    return conformal_threshold(leave_one_out_scores(model, supports), alpha, "leave-one-out")


def _rank(n: int, alpha: float) -> int:
    """ceil((n + 1)(1 - alpha)), safe against rounding: 1 - 0.1 times 10 is 9, not 10."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} must be a false-alarm rate between 0 and 1, such as 0.1")
    return int(np.ceil((n + 1) * (1 - alpha) - 1e-9))


def _require_new(supports: Tensor, normals: Tensor) -> None:
    same = [i for i, image in enumerate(normals) if any(bool((image == s).all()) for s in supports)]
    if same:
        raise ValueError(f"further normal images {same} are supports as well; their scores would be too low, "
                         "leave them out")


def _finite(scores: np.ndarray) -> np.ndarray:
    values = np.asarray(scores, np.float64).ravel()
    if not np.isfinite(values).all():
        raise ValueError(f"scores {np.flatnonzero(~np.isfinite(values))[:5].tolist()} are NaN or infinite")
    return values
