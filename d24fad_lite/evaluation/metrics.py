"""Image and pixel metrics, by scikit-learn, for scores that are finite and labels that have both classes."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score


def image_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often an anomalous image scores above a normal one, ties counting one half.

    Parameters
    ----------
    labels : int [N]
        0 normal, 1 anomalous; both must occur.
    scores : float [N]
        Higher is more anomalous.

    Returns
    -------
    float, in 0..1

    Raises
    ------
    ValueError
        Vectors of different lengths, labels of one class, scores that are not finite.
    """
    return float(roc_auc_score(*checked(labels, scores)))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve by steps, in 0..1; arguments and errors as in `image_auroc`."""
    return float(average_precision_score(*checked(labels, scores)))


def f1_max(labels: np.ndarray, scores: np.ndarray) -> float:
    """Highest F1 over all thresholds, in 0..1; arguments and errors as in `image_auroc`.

    An upper bound: its threshold is chosen on the tested images.
    """
    precision, recall, _ = precision_recall_curve(*checked(labels, scores))
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)))


def checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; ValueError unless they are vectors of one length, scores finite, labels 0 and 1."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} must be two vectors of one length")
    if not np.isfinite(scores).all():
        bad = np.flatnonzero(~np.isfinite(scores))[:5].tolist()
        raise ValueError(f"scores of images {bad} are NaN or infinite; a metric of them would mean nothing")
    classes = np.unique(labels)
    if not np.array_equal(classes, [0, 1]):
        raise ValueError(f"labels must hold both classes, 0 (normal) and 1 (anomalous), found {classes.tolist()}")
    return labels, scores


class PixelAuroc:
    """Pixel AUROC of a stream of anomaly maps, in memory that does not grow with the number of images.

    Map values go into a histogram of equal steps, separately for normal and anomalous pixels. Two pixels of the same
    step count as a tie, which moves the AUROC by at most half the share of such pairs (see `resolution`). That also
    holds outside the range: values below `low` share the first step, values above `high` the last one.

    Parameters
    ----------
    low, high : float
        Range of the histogram; best the lowest and the highest value of the maps, where these are known.
    bins : int, default 65536
        Number of steps.
    """

    def __init__(self, low: float, high: float, bins: int = 2**16) -> None:
        self.edges = (low, max(high, low + float(np.finfo(np.float32).eps)))  # a range of zero has no steps
        self.counts = np.zeros((2, bins), np.int64)  # normal, anomalous

    def add(self, maps: np.ndarray, masks: np.ndarray) -> None:
        """Add anomaly maps [N, H, W], higher is more anomalous, and their masks, bool [N, H, W]."""
        low, high = self.edges
        bins = self.counts.shape[1]
        step = np.clip(((maps - low) * (bins / (high - low))).astype(np.int64), 0, bins - 1)
        for label in (0, 1):
            self.counts[label] += np.bincount(step[masks == bool(label)], minlength=bins)

    @property
    def value(self) -> float | None:
        """The AUROC, in 0..1; None while one of the classes has no pixel."""
        normal, anomalous = self.counts
        if not normal.sum() or not anomalous.sum():
            return None
        below = np.cumsum(normal) - normal
        return float((anomalous * (below + normal / 2)).sum() / normal.sum() / anomalous.sum())

    @property
    def resolution(self) -> float:
        """Largest possible error of `value` that the histogram's steps can make."""
        normal, anomalous = self.counts
        pairs = max(int(normal.sum()), 1) * max(int(anomalous.sum()), 1)
        return float((normal.astype(float) * anomalous).sum() / 2 / pairs)
