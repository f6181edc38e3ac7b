"""Exercises to lesson 12: what a few normal images can promise, and how much hangs on the supports."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def lowest_rate(n):
    """The lowest false-alarm rate that n normal images beside the supports can promise."""
    return 1 / (n + 1)


def rank_correlation(a, b):
    """Correlation of the ranks of two score lists [N] without ties: 1 for the same order, -1 for the opposite one."""
    return np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1]


def _rate_by_counting(n):
    ranks = np.arange(n + 1)  # of a new normal image among n + 1, all equally likely
    return float((ranks == n).mean())  # above all others: the rarest alarm there is


def _correlation_by_scipy(a, b):
    return spearmanr(a, b).statistic


def _counts():
    return [Case(f"{n} images", (n,)) for n in (4, 9, 24, 1)]


def _lists():
    rng = np.random.default_rng(121)
    a = rng.normal(size=12)
    return [
        Case("twelve scores", (a, a + rng.normal(size=12))),
        Case("the same order, other values", (a, np.exp(3 * a))),
        Case("the opposite order", (a, -a)),
        Case("two scores", (np.array([0.3, 0.1]), np.array([5.0, 7.0]))),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="lowest rate",
        solution=lowest_rate,
        reference=_rate_by_counting,
        cases=_counts,
        hints=(
            "A new normal image is as likely to take any rank among the n + 1 as any other.",
            "The strictest threshold lies above all n scores. How likely is a new normal image to exceed it?",
        ),
    ),
    Exercise(
        number=2,
        title="rank correlation",
        solution=rank_correlation,
        reference=_correlation_by_scipy,
        cases=_lists,
        hints=(
            "Replace each score by its rank first; then it is an ordinary correlation.",
            "a.argsort() gives the positions in ascending order, a.argsort().argsort() the ranks.",
            "np.corrcoef(x, y) is a 2 x 2 matrix; the number is at [0, 1].",
        ),
    ),
)

ANSWERS = (
    "From none of them, unless it is trained on your normal images: the detector was trained on other tasks, and your "
    "supports are only compared with.",
    "A score is a function of the image, the supports and the model, and of nothing else in the folder.",
    "One in five. More normal images beside the supports lower it: 1 / (n + 1).",
    "Otherwise the same colour would mean another value in each image, and a healthy image would look alarming.",
    "The model's file, the support files, and the settings: predict.json holds the hashes of all of them.",
)
