"""Figures of training show shares from the untrained state on, and levels side by side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from d24fad_lite.figures.distillation import collapse_figure, episode_figure, level_bars_figure, losses_figure

FRAME = pd.DataFrame({"epoch": [1, 2], "loss_tsd": [2.0, 1.0], "loss_ssd": [0.2, 0.1]})


def test_supports_come_first_and_queries_say_their_class() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = np.zeros((2, 8, 8), bool)
    masks[1, 2:4, 2:4] = True
    axes = episode_figure(images[:3], images[3:], [0, 1], masks).axes
    names = [ax.get_title() for ax in axes]
    assert names == ["support 1", "support 2", "support 3", "query, normal", "query, anomalous"]
    for ax, image in zip(axes, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image.permute(1, 2, 0).numpy())
    assert [bool(ax.collections) for ax in axes] == [False] * 4 + [True]


def test_losses_are_drawn_as_they_are_or_as_shares_from_one_on() -> None:
    (ax,) = losses_figure({"a": FRAME}).axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[2.0, 1.0], [0.2, 0.1]]
    (ax,) = losses_figure({"a": FRAME}, {"loss_tsd": 4.0, "loss_ssd": 0.4}).axes
    assert [line.get_label() for line in ax.lines] == ["TSD", "SSD"]
    for line in ax.lines:
        assert list(line.get_xdata()) == [0, 1, 2] and list(line.get_ydata()) == pytest.approx([1, 0.5, 0.25])


def test_a_path_starts_at_one_and_bars_carry_the_pulls() -> None:
    paths = {"a": np.array([[1, 1], [0.9, 0.1]]), "b": np.array([[1, 1], [0.5, 0.5]])}
    left, right = collapse_figure({"a": (0.1, 10.0), "b": (1.0, 2.0)}, paths).axes
    assert [bar.get_height() for bar in left.patches] == [0.1, 1.0, 10.0, 2.0], "TSD of both, then SSD of both"
    drawn = {line.get_label(): line.get_xydata().tolist() for line in right.lines}
    assert drawn["a"] == paths["a"].tolist() and drawn["b"] == paths["b"].tolist()


def test_the_bars_of_a_level_stand_side_by_side() -> None:
    panels = {"near": {"first": [0.1, 0.2], "second": [0.3, 0.4]}, "far": {"first": [0.5, 0.6], "second": [0.7, 0.8]}}
    for ax, (title, bars) in zip(level_bars_figure(panels, "distance").axes, panels.items(), strict=True):
        assert ax.get_title(loc="left") == title
        assert [bar.get_height() for bar in ax.patches] == [*bars["first"], *bars["second"]]
        edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
        assert all(a[1] <= b[0] for a, b in pairwise(edges)), "no bar covers another"
