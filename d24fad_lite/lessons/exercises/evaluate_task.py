"""Exercises to lesson 09: the best F1, and what the draw of the supports changes."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve

from d24fad_lite.evaluation import metrics as d2  # solutions call image_auroc as the lessons do
from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def best_f1(scores, labels):
    """The highest F1 over all thresholds: scores [N], labels [N] of 0 and 1 -> a number in 0..1."""
    best = 0.0
    for threshold in scores:
        found = scores >= threshold
        hits = (found & (labels == 1)).sum()
        best = max(best, 2 * hits / (found.sum() + (labels == 1).sum()))
    return float(best)


def spread(scores, labels):
    """AUROC of the best draw minus that of the worst: scores [D, N], labels [N]."""
    aurocs = [d2.image_auroc(labels, row) for row in scores]
    return max(aurocs) - min(aurocs)


def _f1_by_sklearn(scores, labels):
    precision, recall, _ = precision_recall_curve(labels, scores)
    with np.errstate(invalid="ignore"):
        return np.nanmax(2 * precision * recall / (precision + recall))


def _spread_by_range(scores, labels):
    return np.ptp([d2.image_auroc(labels, row) for row in scores])


def _scores():
    rng = np.random.default_rng(91)
    labels = np.array([0, 0, 1, 0, 1, 1, 0, 0, 0, 1])
    return [
        Case("ten images", (rng.normal(size=10) + labels, labels)),
        Case("ties", (np.round(rng.normal(size=10) + labels), labels)),
        Case("the wrong way round", (rng.normal(size=10) - 3 * labels, labels)),
        Case("one anomalous image, not the highest", (np.array([0.1, 0.4, 0.3, 0.2]), np.array([0, 0, 1, 0]))),
    ]


def _draws():
    rng = np.random.default_rng(92)
    labels = np.array([0, 1, 0, 1, 1, 0, 0, 1, 0, 1])
    return [
        Case("five draws", (rng.normal(size=(5, 10)) + labels, labels)),
        Case("draws below one half", (rng.normal(size=(4, 10)) - labels, labels)),
        Case("many draws", (rng.normal(size=(40, 10)) + 0.5 * labels, labels)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="best F1",
        solution=best_f1,
        reference=_f1_by_sklearn,
        cases=_scores,
        hints=(
            "Each score is a candidate threshold: called anomalous is every image whose score is at least as high.",
            "F1 is 2 hits / (called anomalous + truly anomalous); the highest over all thresholds is asked for.",
            "hits = ((scores >= threshold) & (labels == 1)).sum()",
        ),
    ),
    Exercise(
        number=2,
        title="spread over draws",
        solution=spread,
        reference=_spread_by_range,
        cases=_draws,
        hints=(
            "One draw is one row of scores; the labels are the same for all.",
            "d2.image_auroc(labels, row) is the AUROC of a draw.",
            "The largest of them minus the smallest.",
        ),
    ),
)

ANSWERS = (
    "K of its normal training images, as supports, at evaluation alone. Its test images are scored and never learned "
    "from.",
    "Otherwise the test set would choose the epoch, and the number would be the best of many looks at the labels.",
    "Of all pairs of an anomalous and a normal image, the anomalous one has the higher score in half of them.",
    "Then a difference between two K or two methods is not a difference between draws.",
    "The draw of the supports and the choice of test images. The chance of training is left out: that needs several "
    "seeds.",
)
