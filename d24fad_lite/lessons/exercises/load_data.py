"""Exercises to lesson 01: equal pictures in different files, and a split that keeps patients together."""

from __future__ import annotations

import numpy as np

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def equal_pairs(arrays):
    """Pairs (i, j), i < j, of arrays with the same shape and the same pixels."""
    return [
        (i, j) for i in range(len(arrays)) for j in range(i + 1, len(arrays)) if np.array_equal(arrays[i], arrays[j])
    ]


def rows_of_test(groups, count):
    """Positions of the test images: whole patients in alphabetical order until there are at least `count` images."""
    rows: list[int] = []
    for patient in sorted(set(groups)):
        if len(rows) >= count:
            break
        rows += [i for i, group in enumerate(groups) if group == patient]
    return sorted(rows)


def _pairs_by_key(arrays):
    keys = [(array.shape, array.tobytes()) for array in arrays]
    return [(i, j) for i, first in enumerate(keys) for j, second in enumerate(keys) if i < j and first == second]


def _test_by_counting(groups, count):
    patients, counts = np.unique(np.array(groups), return_counts=True)
    needed = int(np.searchsorted(np.cumsum(counts), count)) + 1
    return np.flatnonzero(np.isin(groups, patients[:needed])).tolist()


def _pictures():
    rng = np.random.default_rng(11)
    base = [rng.integers(0, 255, (8, 8)).astype(np.uint8) for _ in range(4)]
    nearly = base[2].copy()
    nearly[5, 5] ^= 1
    flat = [np.zeros((2, 8), np.uint8), np.zeros((8, 2), np.uint8), np.zeros((4, 4), np.uint8)]
    return [
        Case("two pairs and a part", ([*base, base[1].copy(), base[0][:, :4].copy(), base[3].copy()],)),
        Case("three equal pictures", ([base[0], base[0].copy(), base[1], base[0].copy()],)),
        Case("one pixel differs in one bit", ([base[2], nearly, base[2].copy()],)),
        Case("equal bytes in another shape", ([*flat, flat[1].copy()],)),
    ]


def _patients():
    many = [f"p{i % 7}" for i in range(40)]
    return [
        Case("at least four of eight", (["b", "a", "c", "a", "d", "b", "a", "c"], 4)),
        Case("the first patient is enough", (["x", "a", "a", "a", "x"], 2)),
        Case("exactly reached", (["a", "b", "b", "c"], 3)),
        Case("all images", (["b", "a", "b"], 3)),
        Case("seven patients of many images", (many, 13)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="equal pictures",
        solution=equal_pairs,
        reference=_pairs_by_key,
        cases=_pictures,
        hints=(
            "Compare every picture with every later one.",
            "The shape has to be the same too: zeros of shape [2, 8] and [8, 2] are not the same picture.",
            "np.array_equal compares shapes and values.",
        ),
    ),
    Exercise(
        number=2,
        title="split by patient",
        solution=rows_of_test,
        reference=_test_by_counting,
        cases=_patients,
        hints=(
            "Take whole patients, in sorted(set(groups)), and stop before a patient that is not needed any more.",
            "Whether more is needed: len(rows) < count, asked before each patient.",
            "All positions of a patient: [i for i, group in enumerate(groups) if group == patient].",
        ),
    ),
)

ANSWERS = (
    "They count as normal, because the word `good` stands within `Ungood`. No program stops: the anomalies are merely "
    "scored as if they were normal images, and the AUROC says something about nothing.",
    "float32 [3, S, S] in 0..1. Sixteen bits are divided by 65535, so nothing of them is cut off.",
    "A resize that does not average picks single pixels, and fine texture turns into a pattern that was not there. A "
    "mask must not be averaged and thresholded, since a lesion of a few pixels would vanish.",
    "The one that cannot be decoded. The others give numbers, and numbers look right.",
    "That the classes can be told apart without looking at the picture, so nothing is known about disease. The band is "
    "what the same statistic reaches with shuffled labels.",
    "What is in it, whether it can be read, whether images or patients occur twice, and what a lazy number gives away.",
)
