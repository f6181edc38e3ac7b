"""Exercises to lesson 03: how many supports are different, and supports of different patients."""

from __future__ import annotations

import numpy as np

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def expected_distinct(n, shots):
    """Expected number of different supports of a query, K = `shots` drawn with replacement from n - 1 images."""
    return (n - 1) * (1 - (1 - 1 / (n - 1)) ** shots)


def one_per_group(order, groups, shots):
    """The first `shots` positions of `order` [n] whose groups are all different; groups [n] names."""
    chosen: dict[str, int] = {}  # group -> its first position
    for position in order:
        if groups[position] not in chosen and len(chosen) < shots:
            chosen[groups[position]] = int(position)
    return list(chosen.values())


def _distinct_by_recursion(n, shots):
    expected = 0.0
    for _ in range(shots):
        expected += (n - 1 - expected) / (n - 1)  # the next draw is new with this probability
    return expected


def _first_of_each_group(order, groups, shots):
    order = np.asarray(order)
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    return order[np.sort(first)[:shots]]


def _draws():
    return [
        Case("12 images, 8 supports", (12, 8)),
        Case("one support", (40, 1)),
        Case("many images, few supports", (10_000, 4)),
        Case("two candidates", (3, 5)),
    ]


def _orders():
    rng = np.random.default_rng(31)
    crowded = np.array([f"p{max(0, i - 7):03d}" for i in range(20)])  # eight images of p000, then one each
    return [
        Case("eight images of one patient", (rng.permutation(20), crowded, 6)),
        Case("as many patients as supports", (rng.permutation(9), np.array(list("abcabcabc")), 3)),
        Case("fewer patients than supports", (rng.permutation(6), np.array(list("xxyyyx")), 4)),
        Case("in the order of the names", (np.arange(8), np.array(list("aabbccdd")), 2)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="different supports",
        solution=expected_distinct,
        reference=_distinct_by_recursion,
        cases=_draws,
        hints=(
            "An expected count is a sum over the candidates of the probability that each is drawn at all.",
            "There are n - 1 candidates, since the query is none. One of them is missed by all K draws with the "
            "probability in the text.",
            "(n - 1) times one minus that probability.",
        ),
    ),
    Exercise(
        number=2,
        title="one per patient",
        solution=one_per_group,
        reference=_first_of_each_group,
        cases=_orders,
        hints=(
            "Walk through the order once and remember which groups you have already taken.",
            "A dict from name to position remembers both: `if groups[position] not in chosen`.",
            "Stop, or take nothing more, when there are `shots` of them; there may be fewer.",
        ),
    ),
)

ANSWERS = (
    "Query and supports come from one task, the query is not among its supports, and no support occurs twice. In an "
    "epoch every training image is a query once.",
    "A query that is its own support is compared with itself: the comparison is perfect and teaches nothing.",
    "Because the draws of an epoch are a function of seed and epoch alone; nothing that happened before enters.",
    "On the number of images of the task and on K. It hurts where a task has few images.",
    "Score both sets on other test images. A better set stays better there, a luckier one falls back.",
    "The first K are one set of many, and always the same one. Its interval cannot be known, and files that were "
    "written together (one patient, one scanner) may still stand together.",
)
