"""Figures of an ablation: trainings, cells, pairs and steps stand where their names say."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from d24fad_lite.figures.ablations import (
    grid_figure,
    pairs_figure,
    steps_figure,
    terms_figure,
    winners_curse_figure,
)


def names(labels: list) -> list[str]:
    return [label.get_text() for label in labels]


def points(ax) -> dict[str, list]:
    """Label -> points of every line that has a label of its own."""
    return {line.get_label(): line.get_xydata().tolist() for line in ax.lines if not line.get_label().startswith("_")}


def test_each_training_has_its_losses_and_its_auroc_on_every_task() -> None:
    curve = pd.DataFrame(
        [("both", 0, 1, 2.0, 0.3), ("both", 0, 2, 1.0, 0.2), ("alone", 0, 1, 3.0, 0.1), ("both", 1, 1, 2.5, 0.4)],
        columns=["terms", "seed", "epoch", "loss_tsd", "loss_ssd"],
    )
    spread = pd.DataFrame(
        [("both", 0, "A", 0.6), ("both", 0, "B", 0.7), ("both", 1, "A", 0.8), ("both", 1, "B", 0.9)],
        columns=["terms", "seed", "task", "AUROC"],
    )
    tsd, ssd, right = terms_figure(curve, spread, "K = 4").axes
    assert points(tsd) == {"both, seed 0": [[1, 2], [2, 1]], "alone, seed 0": [[1, 3]], "both, seed 1": [[1, 2.5]]}
    assert points(ssd)["both, seed 1"] == [[1, 0.4]]
    assert [line.get_linestyle() for line in tsd.lines] == ["-", "-", ":"]
    assert tsd.lines[0].get_color() == tsd.lines[2].get_color() != tsd.lines[1].get_color()
    assert {task: [[auroc, round(y)] for auroc, y in at] for task, at in points(right).items()} == {
        "A": [[0.6, 0], [0.8, 1]],
        "B": [[0.7, 0], [0.9, 1]],
    }
    (_, a), (_, b) = points(right)["A"][0], points(right)["B"][0]
    assert abs(a - b) > 0.2, "equal values of two tasks do not cover each other"
    assert names(right.get_yticklabels()) == ["both, seed 0", "both, seed 1"]


def test_every_cell_carries_its_number_and_a_map_without_supports_only_one() -> None:
    index = pd.MultiIndex.from_tuples([(t, m, "max") for t in ("first", "second") for m in ("ssd", "tsd")])
    columns = pd.MultiIndex.from_tuples([(w, k) for w in ("learned", "mean") for k in (2, 4, 8)])
    values = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.45] * 6, [0.9] * 6, [0.55] * 6]
    ax, _ = grid_figure(pd.DataFrame(values, index, columns), "cells").axes
    written = {(round(t.get_position()[1]), t.get_position()[0]): t.get_text() for t in ax.texts}
    assert {place: text for place, text in written.items() if place[0] == 0 and place[1] in range(6)} == {
        (0, column): f"{value:.2f}" for column, value in enumerate(values[0])
    }
    assert written[1, 1] == "0.45 (sees no support)" and written[3, 1] == "0.55 (sees no support)"
    assert [text for text in names(ax.texts) if text.startswith("trained")] == [
        "trained with\nfirst",
        "trained with\nsecond",
    ]
    assert names(ax.get_xticklabels()) == ["K=2\n", "K=4\nlearned", "K=8\n", "K=2\n", "K=4\nmean", "K=8\n"]
    assert sorted(line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]) == [2.5]


def test_a_pair_whose_interval_holds_zero_is_hollow() -> None:
    clear = SimpleNamespace(low=0.1, high=0.3, difference=0.2)
    open_ = SimpleNamespace(low=-0.1, high=0.3, difference=0.1)
    pairs = {("a - b", "A"): clear, ("a - c", "A"): open_, ("a - b", "B"): open_, ("a - c", "B"): clear}
    (ax,) = pairs_figure(pairs).axes
    dots = [line for line in ax.lines if line.get_marker() in ("o", "s") and len(line.get_xdata())]
    drawn = [(d.get_xdata()[0], round(d.get_ydata()[0]), d.get_markerfacecolor() == "white") for d in dots]
    assert drawn == [(0.2, 0, False), (0.1, 1, True), (0.1, 0, True), (0.2, 1, False)]
    intervals = [list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert intervals == [[0.1, 0.3], [-0.1, 0.3], [-0.1, 0.3], [0.1, 0.3], [0, 0]]
    assert names(ax.get_yticklabels()) == ["a - b", "a - c"] and names(ax.get_legend().get_texts()) == ["A", "B"]


def test_steps_run_downwards_with_a_panel_per_measure() -> None:
    rows = [("first", "A", 0.5, 0.6), ("then", "A", 0.7, 0.8), ("first", "B", 0.4, 0.3), ("then", "B", 0.9, 1.0)]
    left, right = steps_figure(pd.DataFrame(rows, columns=["step", "task", "image AUROC", "pixel AUROC"]), "Steps").axes
    assert points(left) == {"A": [[0.5, 0], [0.7, 1]], "B": [[0.4, 0], [0.9, 1]]}
    assert points(right) == {"A": [[0.6, 0], [0.8, 1]], "B": [[0.3, 0], [1.0, 1]]}
    assert left.yaxis_inverted() and [ax.get_xlabel() for ax in (left, right)] == ["image AUROC", "pixel AUROC"]
    assert names(left.get_yticklabels()) == ["first", "then"]


@pytest.mark.parametrize("tasks", [["A"], ["A", "B"]])
def test_the_curse_has_three_marks_a_task_and_two_tasks_show_every_cell(tasks: list[str]) -> None:
    rows = [(task, "both", k, i / 10 + k / 100) for i, task in enumerate(tasks) for k in (2, 4)]
    grid = pd.DataFrame(rows, columns=["task", "terms", "K", "AUROC"])
    luck = {task: (0.5, 0.9, 0.7 + i / 10) for i, task in enumerate(tasks)}
    left, *right = winners_curse_figure(luck, grid).axes
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in left.lines if line.get_marker() in "o^v"]
    assert marks == [(x, value) for x, values in enumerate(luck.values()) for value in values]
    assert len(right) == len(tasks) - 1
    for ax in right:
        assert points(ax)["both"] == [pytest.approx([0.02, 0.12]), pytest.approx([0.04, 0.14])]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("AUROC on A", "AUROC on B")
