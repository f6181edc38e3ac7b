"""Exercises to lesson 06b: how far the peak is from the lesion, p-values, and how sure a promised rate is."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.stats import beta

from d24fad_lite.evaluation.uncertainty.thresholds import conformal_p_values
from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def peak_distance(maps, masks):
    """Pixels from each map's peak to the nearest lesion pixel: [N, S, S] twice -> [N]."""
    distances = []
    for values, mask in zip(maps, masks):
        peak = np.unravel_index(values.argmax(), values.shape)
        to_lesion = np.argwhere(mask) - np.array(peak)  # (pixels of lesions, 2)
        distances.append(np.linalg.norm(to_lesion, axis=1).min())
    return np.array(distances)


def p_values(calibration, scores):
    """Share of normal scores at least as high, the new one counted: [n], [N] -> [N]."""
    at_least = (calibration[None, :] >= scores[:, None]).sum(axis=1)  # (N,)
    return (1 + at_least) / (len(calibration) + 1)


def risk_of_rate(n, alpha, rate):
    """Probability that the threshold of n images has a false-alarm rate above `rate`."""
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    return sum(math.comb(n, j) * (1 - rate) ** j * rate ** (n - j) for j in range(rank, n + 1))


def _distance_by_transform(maps, masks):
    return np.array([distance_transform_edt(~mask).flat[values.argmax()] for values, mask in zip(maps, masks)])


def _risk_by_beta(n, alpha, rate):
    """The rate follows Beta(n + 1 - k, k)."""
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    return float(beta.sf(rate, n + 1 - rank, rank))


def _distance_cases():
    rng = np.random.default_rng(63)

    def case(name, masks, peaks=()):
        maps = rng.random(masks.shape)
        for values, peak in zip(maps, peaks):
            values[peak] = 2.0
        return Case(name, (maps, masks))

    def disc(size, row, column, radius):
        y, x = np.mgrid[:size, :size]
        return (y - row) ** 2 + (x - column) ** 2 <= radius**2

    three = np.stack([disc(24, 6, 7, 3), disc(24, 18, 4, 2), disc(24, 12, 20, 4)])
    two_lesions = np.stack([disc(24, 3, 3, 2) | disc(24, 20, 20, 2)] * 2)
    return [
        case("three images", three, [(20, 20), (1, 23), (0, 0)]),
        case("a peak on the lesion, and one beside it", three[:2], [(6, 7), (18, 7)]),
        case("two lesions in an image", two_lesions, [(12, 12), (20, 17)]),
        case("one image, one pixel of lesion", disc(16, 5, 5, 0)[None], [(9, 2)]),
        case("the lesion is everywhere", np.ones((2, 8, 8), bool)),
    ]


def _p_value_cases():
    rng = np.random.default_rng(64)
    steps = np.arange(9) / 10
    return [
        Case("36 calibration images, 40 scores", (rng.normal(size=36), rng.normal(size=40))),
        Case("scores that equal calibration scores", (steps, steps[[0, 4, 8]])),
        Case("higher than all, lower than all", (rng.random(19), np.array([2.0, -1.0]))),
        Case("one calibration image", (np.array([0.5]), np.array([0.4, 0.5, 0.6]))),
        Case("as many scores as calibration images, not sorted", (rng.random(7), rng.random(7))),
    ]


def _risk_cases():
    return [
        Case("36 images, 10 % promised, above 20 %", (36, 0.1, 0.2)),
        Case("36 images, 10 % promised, above 10 %", (36, 0.1, 0.1)),
        Case("as few images as can promise 10 %", (9, 0.1, 0.15)),
        Case("500 images", (500, 0.1, 0.12)),
        Case("a promise of 1 %", (99, 0.01, 0.02)),
        Case("a promise of one half", (20, 0.5, 0.4)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="peak distance",
        solution=peak_distance,
        reference=_distance_by_transform,
        cases=_distance_cases,
        hints=(
            "Go image by image. You need the place of one pixel (row, column) and the places of many.",
            "np.unravel_index(values.argmax(), values.shape) is the peak; np.argwhere(mask) lists the lesion's pixels, "
            "one row each.",
            "Subtract the peak from all of these rows; np.linalg.norm(..., axis=1) gives their distances, and the "
            "smallest counts.",
        ),
    ),
    Exercise(
        number=2,
        title="p-values",
        solution=p_values,
        reference=conformal_p_values,
        cases=_p_value_cases,
        hints=(
            "Every new score is compared with every calibration score, and equal ones count.",
            "calibration[None, :] >= scores[:, None] is a table [N, n]; which axis is to be counted?",
        ),
    ),
    Exercise(
        number=3,
        title="risk of a rate",
        solution=risk_of_rate,
        reference=_risk_by_beta,
        cases=_risk_cases,
        hints=(
            "Each calibration image lies in the lower 1 - r of normal scores with probability 1 - r, independently. "
            "How many of n do, follows a binomial distribution.",
            "The rank k is that of the lesson: the smallest whole number not below (n + 1)(1 - alpha), safe against "
            "rounding.",
            "Sum math.comb(n, j) * (1 - rate) ** j * rate ** (n - j) over j from k to n.",
        ),
    ),
)

ANSWERS = (
    "It ranks images by one number. The number may be higher for anomalous images for a reason that lies elsewhere in "
    "the image; only the map shows on which pixels it rests.",
    "When lesions differ in size: the pixel AUROC counts pixels, so large lesions decide it; AUPRO counts every lesion "
    "once, so small ones that are missed pull it down.",
    "Rolling the embedding by half its side. A ring that moves to the middle was in the embedding; one that stays is "
    "the student's.",
    "It is drawn from the embedding, a grid of 4 x 4 cells of 32 px each: a lesion of a few pixels hardly changes such "
    "a cell.",
    "A rank among 4 + 1 scores goes in steps of a fifth, so nothing below one in five can be promised. Ten per cent "
    "need nine normal images that are no supports.",
)
