"""Exercises to lesson 12: how many normal images may be supports, and what other supports change at the top."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def most_supports(n, alpha):
    """How many of n normal images may be supports, if the others shall promise a false-alarm rate of at most alpha."""
    needed = int(np.ceil(1 / alpha - 1e-9)) - 1  # the smallest m with 1 / (m + 1) <= alpha
    return max(n - needed, 0)


def same_top(a, b, m):
    """Share of the m highest scores of a whose images are also among the m highest of b: [N], [N] -> 0..1."""
    return len(set(np.argsort(-a)[:m]) & set(np.argsort(-b)[:m])) / m


def _most_supports_by_trying(n, alpha):
    """Every split of n, in whole numbers: m calibration images promise 1 / (m + 1)."""
    rate = Fraction(alpha).limit_denominator(10_000)
    return max((k for k in range(n + 1) if Fraction(1, n - k + 1) <= rate), default=0)


def _same_top_by_ranks(a, b, m):
    """An image is at the top where fewer than m images score higher."""
    top = [(scores[None, :] > scores[:, None]).sum(axis=1) < m for scores in (a, b)]
    return float((top[0] & top[1]).sum() / m)


def _counts():
    return [
        Case("28 images, 5 %", (28, 0.05)),
        Case("30 images, 10 %", (30, 0.1)),
        Case("too few images", (8, 0.1)),
        Case("just enough for one support", (10, 0.1)),
        Case("1 / alpha is no whole number", (100, 0.3)),
        Case("120 images, 1 %", (120, 0.01)),
    ]


def _lists():
    rng = np.random.default_rng(121)
    a = rng.normal(size=12)
    b = a + 0.7 * rng.normal(size=12)
    return [
        Case("twelve scores, the five highest", (a, b, 5)),
        Case("the same order, other values", (a, np.exp(3 * a), 4)),
        Case("the opposite order", (a, -a, 6)),
        Case("the opposite order, a top of more than half", (a, -a, 8)),
        Case("all images", (a, b, 12)),
        Case("only the highest", (np.array([0.3, 0.9, 0.1]), np.array([5.0, 7.0, 6.0]), 1)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="most supports",
        solution=most_supports,
        reference=_most_supports_by_trying,
        cases=_counts,
        hints=(
            "Begin with the others: how many calibration images does the rate alpha need at least?",
            "m calibration images promise 1 / (m + 1). Find the smallest m for which that is at most alpha.",
            "m is the next whole number from 1 / alpha - 1 upwards; mind that 1 / 0.1 may not be exactly 10, and that "
            "the result must not be below 0.",
        ),
    ),
    Exercise(
        number=2,
        title="same top",
        solution=same_top,
        reference=_same_top_by_ranks,
        cases=_lists,
        hints=(
            "Which images are at the top of each list? Positions are what is compared, not scores.",
            "np.argsort(-a)[:m] holds the positions of the m highest scores.",
            "Make both a set of positions; the size of their intersection (&), divided by m.",
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
