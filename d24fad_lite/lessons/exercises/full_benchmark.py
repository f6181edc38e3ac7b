"""Exercises to lesson 10: on how many tasks one method wins, and what more supports bring."""

from __future__ import annotations

import numpy as np
import pandas as pd

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def tasks_won(heat):
    """Tasks on which the first row is above each other row, ties not counting: DataFrame [M, T] -> M - 1 numbers."""
    return heat.iloc[1:].lt(heat.iloc[0], axis=1).sum(axis=1).to_list()


def gain_of_supports(means):
    """AUROC at the largest K minus that at the smallest, one number per method in the order of the table."""
    gains = []
    for name in means["method"].unique():
        by_k = means[means["method"] == name].set_index("K")["AUROC"]
        gains.append(by_k[by_k.index.max()] - by_k[by_k.index.min()])
    return gains


def _tasks_won_by_counting(heat):
    first, *others = heat.to_numpy().tolist()
    return [sum(mine > other for mine, other in zip(first, row, strict=True)) for row in others]


def _gain_by_sorting(means):
    ordered = means.sort_values("K", kind="stable").groupby("method", sort=False)["AUROC"]
    order = list(dict.fromkeys(means["method"]))
    return (ordered.last() - ordered.first()).loc[order].to_numpy()


def _heats():
    rng = np.random.default_rng(101)

    def heat(methods, tasks):
        return pd.DataFrame(
            rng.uniform(0.4, 1, (methods, tasks)),
            index=[f"method {m}" for m in range(methods)],
            columns=[f"task {t}" for t in range(tasks)],
        )

    tied = heat(3, 5)
    tied.iloc[1] = tied.iloc[0]
    return [
        Case("four methods, five tasks", (heat(4, 5),)),
        Case("ties", (tied,)),
        Case("one task", (heat(3, 1),)),
        Case("two methods", (heat(2, 7),)),
    ]


def _means():
    rng = np.random.default_rng(102)

    def means(methods, shots):
        rows = [(name, k, rng.uniform(0.5, 1)) for name in methods for k in shots]
        return pd.DataFrame(rows, columns=["method", "K", "AUROC"])

    shuffled = means(["b", "a", "c"], (2, 4, 8)).sample(frac=1, random_state=3)
    return [
        Case("three methods, K = 2, 4, 8", (means(["matched", "released", "shortcut"], (2, 4, 8)),)),
        Case("rows in another order, the largest K not last", (shuffled,)),
        Case("a single K: no gain", (means(["one", "other"], (4,)),)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="tasks won",
        solution=tasks_won,
        reference=_tasks_won_by_counting,
        cases=_heats,
        hints=(
            "Each other row has to be compared with the first one, task by task. What does a tie count?",
            "heat.iloc[1:].lt(heat.iloc[0], axis=1) is True where another method is below the first one.",
            "Sum the True values along the tasks, axis=1, and make a list of what remains.",
        ),
    ),
    Exercise(
        number=2,
        title="gain of supports",
        solution=gain_of_supports,
        reference=_gain_by_sorting,
        cases=_means,
        hints=(
            "One method at a time: which of its rows has the largest K, and which the smallest?",
            'means[means["method"] == name].set_index("K")["AUROC"] is looked up by K.',
            "Take the methods in the order of the table: means['method'].unique() keeps it.",
        ),
    ),
)

ANSWERS = (
    "It trains on the normal images of every other task, and it evaluates on the test images of the task that was held "
    "out, with supports drawn from that task's normal training images.",
    "A finished cell lies in a folder of its own with a hash of its notebook's code, its parameters and the package's "
    "code. It runs again when one of these has changed, or when its result is not there.",
    "Which K supports were drawn, and which test images there happen to be. The chance of training is not among them: "
    "that would take several seeds.",
    "Other images, another teacher and another protocol: the published figures blur across a class-sorted batch and "
    "choose the epoch on the test set. A difference of the two columns would mix all of these.",
    "The difference in pairs, on the same draws and images, with an interval that is clear of zero, on several tasks "
    "and training seeds, and a decision made beforehand on which of the many comparisons counts.",
)
