"""Exercises to lesson 07: what suggestions have in common, and where a choice stands among random ones."""

from __future__ import annotations

from collections import Counter

import numpy as np

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def most_suggested(suggestions):
    """(number of distinct positions, the most frequent one, the lowest of equals): dict of lists of positions."""
    together = sorted(i for chosen in suggestions.values() for i in chosen)
    return len(set(together)), max(dict.fromkeys(together), key=together.count)


def percentile(value, others):
    """Share of `others` [n] below the value, ties counted half, in percent."""
    return 100 * ((others < value).mean() + (others == value).mean() / 2)


def _most_by_counter(suggestions):
    counts = Counter(i for chosen in suggestions.values() for i in chosen)
    return len(counts), min(counts, key=lambda i: (-counts[i], i))


def _percentile_by_ranks(value, others):
    ordered = np.sort(others)
    low, high = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
    return 100 * (low + high) / 2 / len(ordered)


def _suggestions():
    return [
        Case(
            "five ways, four supports each", ({"a": [3, 9, 1, 7], "b": [9, 2, 4, 6], "c": [9, 3, 5, 8], "d": [1, 0]},)
        ),
        Case("a tie: the lowest", ({"a": [5, 2], "b": [2, 5], "c": [8, 1]},)),
        Case("all alike", ({"a": [4], "b": [4], "c": [4]},)),
        Case("nothing in common", ({"a": [6, 7], "b": [8, 3]},)),
    ]


def _sets():
    rng = np.random.default_rng(71)
    others = rng.uniform(0.6, 1, 50)
    return [
        Case("somewhere in the middle", (0.8, others)),
        Case("ties", (0.7, np.array([0.7, 0.6, 0.7, 0.9, 0.7]))),
        Case("equal to all", (1.0, np.ones(8))),
        Case("the lowest but for one", (float(np.sort(others)[1]), others)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="most suggested",
        solution=most_suggested,
        reference=_most_by_counter,
        cases=_suggestions,
        hints=(
            "Put the positions of all suggestions into one list first: suggestions.values() are lists.",
            "collections.Counter counts; len of it is the number of distinct positions.",
            "For ties look at the positions in ascending order: max returns the first of equals.",
        ),
    ),
    Exercise(
        number=2,
        title="percentile",
        solution=percentile,
        reference=_percentile_by_ranks,
        cases=_sets,
        hints=(
            "The mean of a comparison is a share: (others < value).mean().",
            "A tie counts half: half of the share that equals the value is added.",
            "It is asked for in percent, 0 to 100.",
        ),
    ),
)

ANSWERS = (
    "The hash of its content and its name within the task. Paths differ from computer to computer.",
    "The features of the new support, and what compares the query with the supports. The features of the query and of "
    "the other supports are kept.",
    "The supports themselves are compared with themselves and score too low; normal images that were not picked are "
    "like the normal images to come.",
    "One support has nearly all the weight; the other three hardly count for this query.",
    "Because the same test labels chose it. On other images the luck that made it the best is gone.",
)
