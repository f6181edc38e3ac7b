"""Decision thresholds from normal images alone, with a false-alarm rate that is promised only where it can be.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005): if n calibration scores and the score of a new normal
image are exchangeable, the rank of the new one among the n + 1 is uniform. A threshold at the ceil((n+1)(1-alpha))-th
calibration score is then exceeded by a new normal image with probability at most alpha, whatever the distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import beta
from torch import Tensor

from d24fad_lite.data.supports import leave_one_out
from d24fad_lite.evaluation.scorer import Scorer, as_scorer
from d24fad_lite.evaluation.uncertainty.intervals import CONFIDENCE
from d24fad_lite.model.detector import D24FAD

Basis = Literal["extra normals", "leave-one-out"]
BATCH = 16


class ThresholdError(ValueError):
    """The normal images at hand are too few for the false-alarm rate that was asked for."""


@dataclass(frozen=True)
class Threshold:
    """A score above `value` is an alarm.

    Attributes
    ----------
    value : float
        On the scale of the scores.
    alpha : float in 0..1
        Target false-alarm rate.
    scores : float [n]
        The calibration scores, sorted.
    basis : {"extra normals", "leave-one-out"}
        "extra normals": images that are no supports; the promise is exact in finite samples, as long as the supports
        were not chosen by looking at these images (a choice such as medoids among all of them makes it approximate).
        "leave-one-out": approximate, since a support is scored against K - 1 others and a new image against K.
    """

    value: float
    alpha: float
    scores: np.ndarray
    basis: Basis

    @property
    def n(self) -> int:
        """Number of calibration images."""
        return len(self.scores)

    @property
    def exact(self) -> bool:
        """Whether the rate is promised in finite samples, see `basis` for what that asks of the choice of supports."""
        return self.basis == "extra normals"

    def alarms(self, scores: np.ndarray) -> np.ndarray:
        """bool [N]: which scores [N] lie above the threshold."""
        return np.asarray(scores) > self.value

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Conformal p-value of each score, see `conformal_p_values`; an alarm is p <= alpha."""
        return conformal_p_values(self.scores, scores)

    def false_alarm_interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Where the true false-alarm rate of this very threshold lies, given how few images calibrated it.

        alpha is an average over calibration sets; with few images a single threshold can be far from it. See the
        function `false_alarm_interval`.
        """
        return false_alarm_interval(self.n, self.alpha, confidence)

    def summary(self) -> str:
        """One line with the threshold and how much it can be trusted."""
        low, high = self.false_alarm_interval()
        promise, how = ("at most", "") if self.exact else ("about", "roughly ")
        return (
            f"alarm above {self.value:.4g}: {promise} {100 * self.alpha:.3g} % false alarms on average, from "
            f"{self.n} normal images ({self.basis}); this one has a rate {how}between {100 * low:.2g} and "
            f"{100 * high:.2g} % (95 %)"
        )


def conformal_p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(1 + number of calibration scores at least as high) / (n + 1) for each score.

    For a normal image that is exchangeable with the calibration images, P(p <= alpha) <= alpha.

    Parameters
    ----------
    calibration : float [n]
        Scores of normal images.
    scores : float [N]

    Returns
    -------
    float [N], from 1 / (n + 1) to 1

    Raises
    ------
    ValueError
        Scores that are not finite.
    """
    ordered = np.sort(_finite(calibration))
    at_least = len(ordered) - np.searchsorted(ordered, _finite(scores), side="left")
    return (1 + at_least) / (len(ordered) + 1)


def conformal_threshold(calibration: np.ndarray, alpha: float, basis: Basis = "extra normals") -> Threshold:
    """The lowest threshold that keeps false alarms at alpha or below.

    To get the best threshold that n images allow, whatever their number, ask for no less than they can promise:

        conformal_threshold(scores, max(alpha, lowest_alpha(len(scores))))

    Parameters
    ----------
    calibration : float [n]
        Scores of normal images that the method has not seen.
    alpha : float, above 0 and below 1
        Target false-alarm rate.
    basis : {"extra normals", "leave-one-out"}, default "extra normals"
        How the scores were made, see `Threshold`.

    Returns
    -------
    Threshold

    Raises
    ------
    ThresholdError
        n is too small: below 1/alpha - 1 images no threshold keeps the promise except "never an alarm".
    ValueError
        alpha out of range, scores that are not finite.
    """
    ordered = np.sort(_finite(calibration))
    rank = _rank(len(ordered), alpha)
    if rank > len(ordered):
        raise ThresholdError(
            f"{len(ordered)} normal images cannot promise a false-alarm rate of {alpha:g}: the lowest they can is "
            f"1/(n+1) = {lowest_alpha(len(ordered)):.3g}; give at least {images_needed(alpha)} normal images beside "
            "the supports, or accept a higher rate"
        )
    return Threshold(float(ordered[rank - 1]), alpha, ordered, basis)


def images_needed(alpha: float) -> int:
    """Smallest number of normal calibration images that can promise a false-alarm rate: ceil(1/alpha) - 1.

    Parameters
    ----------
    alpha : float
        False-alarm rate, above 0 and below 1.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        alpha out of range.
    """
    _rank(1, alpha)
    return int(np.ceil(1 / alpha - 1e-9)) - 1


def lowest_alpha(n: int) -> float:
    """Lowest false-alarm rate that n normal calibration images can promise: 1 / (n + 1); 1 (no promise) for none."""
    return 1 / (n + 1)


def false_alarm_interval(n: int, alpha: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where the true false-alarm rate of a single threshold lies, over calibration sets of n images.

    For scores without ties the rate follows Beta(n + 1 - k, k), with k the rank used (Vovk, 2012).

    Parameters
    ----------
    n : int
        Number of calibration images.
    alpha : float
        Target false-alarm rate, between 0 and 1.
    confidence : float in 0..1, default 0.95
        Share of calibration sets whose threshold has a rate in the interval.

    Returns
    -------
    (low, high) : float, in 0..1

    Raises
    ------
    ThresholdError
        n is too small for alpha.
    """
    rank = _rank(n, alpha)
    if rank > n:
        raise ThresholdError(
            f"{n} normal images cannot promise a false-alarm rate of {alpha:g}; "
            f"at least {images_needed(alpha)} are needed"
        )
    tail = (1 - confidence) / 2
    low, high = beta.ppf([tail, 1 - tail], n + 1 - rank, rank)
    return float(low), float(high)


def leave_one_out_scores(model: D24FAD | Scorer, supports: Tensor) -> np.ndarray:
    """Score of each support against the K - 1 others.

    Against one support fewer, scores tend to be a little high, so a threshold from them gives too few alarms rather
    than too many.

    Parameters
    ----------
    model : D24FAD or Scorer
    supports : float [K, 3, S, S], in 0..1

    Returns
    -------
    float [K]

    Raises
    ------
    ValueError
        Fewer than 2 supports.
    """
    others = leave_one_out(len(supports))  # (K, K - 1)
    scorer = as_scorer(model)
    prepared = scorer.prepare(supports, others)
    parts = [scorer.score(part, prepared).scores for part in supports.split(BATCH)]
    return np.concatenate(parts, axis=1).diagonal().astype(np.float64)


def normal_scores(model: D24FAD | Scorer, supports: Tensor, normals: Tensor) -> np.ndarray:
    """Scores of further normal images against all supports.

    Parameters
    ----------
    model : D24FAD or Scorer
    supports : float [K, 3, S, S], in 0..1
    normals : float [M, 3, S, S], in 0..1
        None of them a support.

    Returns
    -------
    float64 [M]
    """
    scorer = as_scorer(model)
    prepared = scorer.prepare(supports, np.arange(len(supports))[None])
    parts = [scorer.score(part, prepared).scores[0] for part in normals.split(BATCH)]
    return np.concatenate(parts).astype(np.float64)


def calibrate(model: D24FAD | Scorer, supports: Tensor, alpha: float = 0.1, normals: Tensor | None = None) -> Threshold:
    """A threshold from supports and, better, further normal images; never from an anomaly.

    Where the further images alone suffice for alpha, only they are used: then the promise is exact. Otherwise the
    leave-one-out scores of the supports join them, and the result says that it is approximate.

    Parameters
    ----------
    model : D24FAD or Scorer
    supports : float [K, 3, S, S], in 0..1
    alpha : float, default 0.1
        Target false-alarm rate, between 0 and 1.
    normals : float [M, 3, S, S] in 0..1, optional
        Further normal images, none of them a support.

    Returns
    -------
    Threshold

    Raises
    ------
    ThresholdError
        K + M images are too few for alpha (4 supports alone promise no rate below 1/5).
    ValueError
        A further normal image is one of the supports; alpha out of range.
    """
    extra = 0 if normals is None else len(normals)
    basis = calibration_basis(len(supports), extra, alpha)
    scores = np.empty(0)
    if normals is not None and extra:
        _require_new(supports, normals)
        scores = normal_scores(model, supports, normals)
    if basis == "leave-one-out":
        scores = np.concatenate([leave_one_out_scores(model, supports), scores])
    return conformal_threshold(scores, alpha, basis)


def calibration_basis(supports: int, normals: int, alpha: float) -> Basis:
    """Which scores make the threshold: those of further normal images alone, where these suffice for alpha.

    Otherwise the supports' leave-one-out scores join them. Raises ThresholdError where both are too few for alpha.
    """
    needed, available = images_needed(alpha), normals + (supports if supports > 1 else 0)
    if available < needed:
        raise ThresholdError(
            f"{supports} supports and {normals} further normal images cannot promise a false-alarm rate of "
            f"{alpha:g}: the lowest they can is {lowest_alpha(available):.3g}; give {needed} further normal images, "
            "or accept a higher rate"
        )
    return "extra normals" if normals >= needed else "leave-one-out"


def _rank(n: int, alpha: float) -> int:
    """ceil((n + 1)(1 - alpha)), safe against rounding: 1 - 0.1 times 10 is 9, not 10."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} must be a false-alarm rate between 0 and 1, such as 0.1")
    return int(np.ceil((n + 1) * (1 - alpha) - 1e-9))


def _require_new(supports: Tensor, normals: Tensor) -> None:
    """ValueError where a further normal image equals a support."""
    same = [i for i, image in enumerate(normals) if any(bool((image == s).all()) for s in supports)]
    if same:
        raise ValueError(
            f"further normal images {same} are supports as well; their scores would be too low, leave them out"
        )


def _finite(scores: np.ndarray) -> np.ndarray:
    """The scores as float [n]; ValueError where one is not finite."""
    values = np.asarray(scores, np.float64).ravel()
    if not np.isfinite(values).all():
        raise ValueError(f"scores {np.flatnonzero(~np.isfinite(values))[:5].tolist()} are NaN or infinite")
    return values
