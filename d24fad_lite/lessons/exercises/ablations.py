"""Exercises to lesson 08: the main effect of a switch, and a quick look at a pair."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from d24fad_lite.evaluation import metrics as d2  # solutions call image_auroc as the lessons do
from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def main_effect(grid, switch):
    """Mean AUROC for each value of a switch, in alphabetical order, over the rows whose map looks at supports."""
    rows = grid[grid["map"] != "tsd"]
    return [rows.loc[rows[switch] == value, "AUROC"].mean() for value in sorted(rows[switch].unique())]


def share_of_draws_won(first, second, labels):
    """Share of the draws in which the first AUROC is higher, ties counted half: scores [D, N] twice, labels [N]."""
    won = []
    for a, b in zip(first, second):
        difference = d2.image_auroc(labels, a) - d2.image_auroc(labels, b)
        won.append((difference > 0) + 0.5 * (difference == 0))
    return np.mean(won)


def _effect_by_groups(grid, switch):
    return grid[grid["map"] != "tsd"].groupby(switch)["AUROC"].mean().to_numpy()


def _won_by_pairs(first, second, labels):
    def auroc(scores):
        pairs = list(itertools.product(scores[labels == 1], scores[labels == 0]))
        return sum((high > low) + 0.5 * (high == low) for high, low in pairs) / len(pairs)

    differences = np.array([auroc(a) - auroc(b) for a, b in zip(first, second, strict=True)])
    return ((differences > 1e-12).sum() + 0.5 * (np.abs(differences) <= 1e-12).sum()) / len(differences)


def _grids():
    rng = np.random.default_rng(81)

    def grid(weightings, scores=("max", "mean"), maps=("ssd", "both", "tsd")):
        rows = itertools.product(weightings, maps, scores)
        frame = pd.DataFrame(rows, columns=["weighting", "map", "score"])
        return frame.assign(AUROC=rng.uniform(0.4, 1, len(frame)))

    full = grid(("single", "learned", "mean"))
    return [
        Case("three weightings", (full, "weighting")),
        Case("the score", (full, "score")),
        Case("rows in another order", (full.sample(frac=1, random_state=1), "weighting")),
        Case("values with unequal numbers of rows", (full.drop(index=[0, 3, 7]), "weighting")),
    ]


def _pairs_of_scores():
    rng = np.random.default_rng(82)
    labels = np.array([0, 1, 0, 1, 1, 0, 0, 1])
    first = rng.normal(size=(7, 8)) + labels
    tied = first.copy()
    tied[:3] = rng.normal(size=(3, 8))
    return [
        Case("seven draws", (first, rng.normal(size=(7, 8)) + labels, labels)),
        Case("draws in which both are equal", (first, tied, labels)),
        Case("one draw, lost", (-first[:1], first[:1], labels)),
        Case("equal scores within a draw", (np.round(first), np.round(tied), labels)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="main effect",
        solution=main_effect,
        reference=_effect_by_groups,
        cases=_grids,
        hints=(
            "First leave out the rows that never look at supports: grid['map'] != 'tsd'.",
            "What remains is grouped by the values of the switch, which groupby sorts.",
            "groupby(switch)['AUROC'].mean() has one number per value.",
        ),
    ),
    Exercise(
        number=2,
        title="share of draws won",
        solution=share_of_draws_won,
        reference=_won_by_pairs,
        cases=_pairs_of_scores,
        hints=(
            "One draw is one row of both arrays; d2.image_auroc(labels, row) is its AUROC.",
            "A draw counts 1 where the first is higher, and 1/2 where both are equal.",
            "The mean over the draws is the share.",
        ),
    ),
)

ANSWERS = (
    "Those that enter the loss or the episodes: the terms of the loss, the rate, the number of supports in training. "
    "All others only read a trained student in another way.",
    "It is the sum of the two maps, which are already there.",
    "How large a difference can be without any meaning. Differences in the grid that are smaller say nothing.",
    "Both methods met the same draws and images, so what makes a draw hard moves both; in the difference it cancels.",
    "It falls back. It was the best of many partly by luck with these images, and others do not share that luck.",
)
