"""p-values for every image and, for a false-alarm rate that is asked for, a threshold: from normal images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from d24fad_lite.data.images import load_image
from d24fad_lite.evaluation.uncertainty.thresholds import (
    Basis,
    Threshold,
    calibration_basis,
    conformal_p_values,
    conformal_threshold,
    lowest_alpha,
)
from d24fad_lite.model.interface import Detector

BATCH = 16


@dataclass(frozen=True)
class Calibration:
    """Scores of normal images, by which others are judged.

    Attributes
    ----------
    scores : float [n]
        Of further normal images; or of the supports, each against the others; or of both.
    basis : {"extra normals", "leave-one-out"}
        See `Threshold`.
    threshold : Threshold or None
        For the false-alarm rate that was asked for; None where none was.
    """

    scores: np.ndarray
    basis: Basis
    threshold: Threshold | None = None

    def columns(self, scores: np.ndarray) -> dict[str, list[Any]]:
        """`p_value` and, where there is a threshold, `alarm` for scores [N]; nothing without a calibration image."""
        if not len(self.scores):
            return {}
        beside: dict[str, list[Any]] = {"p_value": [float(f"{p:.6g}") for p in conformal_p_values(self.scores, scores)]}
        if self.threshold is not None:
            beside["alarm"] = [bool(alarm) for alarm in self.threshold.alarms(scores)]
        return beside

    def facts(self) -> dict[str, Any]:
        """What predict.json says of it."""
        facts: dict[str, Any] = {"normal_images": len(self.scores), "basis": self.basis}
        facts["lowest_p_value"] = lowest_alpha(len(self.scores))
        if self.threshold is not None:
            low, high = self.threshold.false_alarm_interval()
            facts |= {"alpha": self.threshold.alpha, "threshold": self.threshold.value, "alarm_rate_95": [low, high]}
        return facts

    def sentence(self) -> str:
        """Why there is, or is no, threshold, and how much it can be trusted."""
        if self.threshold is not None:
            return self.threshold.summary()
        n = len(self.scores)
        if not n:
            return "no p-values: a single support has no others to be compared with; give more supports, or normals"
        return (
            f"p-values from {n} normal images ({self.basis}), so none is below {lowest_alpha(n):.3g}; no false-alarm "
            "rate was asked for, so no image is called an alarm"
        )


def calibrate_folder(
    supports: int, support_scores: Sequence[float], normal_scores: np.ndarray, alpha: float | None
) -> Calibration:
    """The calibration that these normal images allow: further normals alone where they suffice, as in `calibrate`.

    Parameters
    ----------
    supports : int
        Number of supports K.
    support_scores : sequence of float
        Scores of supports, each against the others; of a single one they mean nothing and are not used.
    normal_scores : float [M]
        Of further normal images.
    alpha : float or None
        False-alarm rate that is asked for.

    Raises
    ------
    ThresholdError : too few images for alpha.
    """
    extra = np.asarray(normal_scores, np.float64)
    if alpha is not None:
        basis = calibration_basis(min(supports, len(support_scores)), len(extra), alpha)
    else:
        basis = "extra normals" if len(extra) >= max(len(support_scores), 2) else "leave-one-out"
    of_supports = np.asarray(support_scores if supports > 1 else [], np.float64)
    scores = extra if basis == "extra normals" else np.concatenate([of_supports, extra])
    return Calibration(scores, basis, conformal_threshold(scores, alpha, basis) if alpha is not None else None)


def scores_of_files(detector: Detector, bank: Any, files: Sequence[Path]) -> np.ndarray:
    """Scores [M] of image files against one bank of supports; ImageError for one that cannot be read."""
    parts = []
    for start in range(0, len(files), BATCH):
        images = [load_image(path, detector.config.image_size) for path in files[start : start + BATCH]]
        parts.append(detector.predict(torch.stack(images), bank).score.cpu().numpy())
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)
