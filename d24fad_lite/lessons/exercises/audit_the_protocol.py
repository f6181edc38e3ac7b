"""Exercises to lesson 11: scores without the leak, and what remains of it when the batch is shuffled."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from d24fad_lite.evaluation import metrics as d2  # solutions call image_auroc as the lessons do
from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def honest_scores(raw_maps, sigma=4.0):
    """Maximum of each map, blurred by itself: [N, S, S] -> [N]."""
    return gaussian_filter(raw_maps, sigma=(0, sigma, sigma)).max(axis=(1, 2))


def shuffled_auroc(raw_maps, labels, order):
    """AUROC of the leaky scores, batches of 16 in the given order, blurred along all axes; order [N]."""
    scores = [
        gaussian_filter(raw_maps[order[i : i + 16]], sigma=4.0).max(axis=(1, 2)) for i in range(0, len(order), 16)
    ]
    return d2.image_auroc(labels[order], np.concatenate(scores))


def _one_map_at_a_time(raw_maps, sigma=4.0):
    return np.array([gaussian_filter(one, sigma=sigma).max() for one in raw_maps])


def _batch_by_batch(raw_maps, labels, order):
    scores = np.empty(len(labels))
    for batch in np.split(order, range(16, len(order), 16)):
        scores[batch] = gaussian_filter(raw_maps[batch], sigma=4.0).reshape(len(batch), -1).max(axis=1)
    return d2.image_auroc(labels[order], scores[order])


def _maps():
    rng = np.random.default_rng(111)
    lone = rng.random((5, 24, 24)) * 0.1
    lone[2, 10:14, 10:14] = 5.0  # under the leak its neighbours would shine too
    return [
        Case("eight maps", (rng.random((8, 20, 20)),)),
        Case("one bright map among dark ones", (lone,)),
        Case("one map", (rng.random((1, 16, 16)),)),
        Case("another sigma", (rng.random((4, 20, 20)), 1.5)),
    ]


def _batches():
    rng = np.random.default_rng(112)

    def case(name, count):
        labels = np.arange(count) % 2
        maps = rng.random((count, 12, 12)) + 0.3 * labels[:, None, None]
        return Case(name, (maps, labels, rng.permutation(count)))

    return [case("32 images", 32), case("one batch", 16), case("48 images", 48)]


EXERCISES = (
    Exercise(
        number=1,
        title="honest scores",
        solution=honest_scores,
        reference=_one_map_at_a_time,
        cases=_maps,
        hints=(
            "gaussian_filter takes one sigma for each axis. Along which axis must it not blur?",
            "sigma=(0, sigma, sigma): the first axis counts the images.",
            "The maximum of each map: .max(axis=(1, 2)).",
        ),
    ),
    Exercise(
        number=2,
        title="AUROC of shuffled batches",
        solution=shuffled_auroc,
        reference=_batch_by_batch,
        cases=_batches,
        hints=(
            "Take the maps in the given order, 16 at a time, and blur each batch along all three axes.",
            "for i in range(0, len(order), 16): raw_maps[order[i : i + 16]]",
            "The labels have to stand in the same order as the scores: labels[order].",
        ),
    ),
)

ANSWERS = (
    "Along the axis of the images, too. With a batch sorted by class the neighbours of an image are of its own class, "
    "so the blur carries the label from image to image.",
    "The blur mixes an image with its neighbours. Where anomalous images have the lower scores, that gets worse.",
    "It scores each image in other company, and looks whether its score changes.",
    "Those whose score depends on the image and the supports alone and whose epoch was fixed beforehand or chosen on "
    "normal images that are not in the test set. The best epoch by test AUROC was chosen by the labels.",
    "An honest run does not read them, so nothing changes. A run that chooses its epoch on them chooses another one.",
)
