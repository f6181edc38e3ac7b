"""Every draw of supports is a dot, in the place of its K or its row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from d24fad_lite.figures.draws import draws_figure, repeats_figure, support_sets_figure
from d24fad_lite.figures.style import ANOMALOUS, NORMAL


def test_a_law_is_a_line_and_what_was_counted_lies_on_it_as_dots() -> None:
    law = pd.DataFrame({2: [0.3, 0.2, 0.1], 4: [0.9, 0.6, 0.4]}, index=[10, 20, 40])
    counted = law.loc[[10, 40]]
    met = pd.DataFrame({"law": [0.1, 0.19], "redrawn": [0.1, 0.2], "fixed": [0.1, 0.1]}, index=[1, 2])
    left, right = repeats_figure(law, counted, met, ", K = 4").axes
    drawn = [(line.get_marker(), line.get_xydata().tolist()) for line in left.lines]
    assert drawn == [
        ("None", [[10, 0.3], [20, 0.2], [40, 0.1]]),
        ("o", [[10, 0.3], [40, 0.1]]),
        ("None", [[10, 0.9], [20, 0.6], [40, 0.4]]),
        ("o", [[10, 0.9], [40, 0.4]]),
    ]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["K = 2", "K = 4"]
    assert {line.get_label(): list(line.get_ydata()) for line in right.lines} == met.to_dict("list")
    assert right.lines[0].get_linewidth() > right.lines[1].get_linewidth() and right.get_title("left").endswith("K = 4")


def test_scores_of_two_images_stand_apart_and_means_are_bars() -> None:
    scores = {"normal": {1: np.array([0.5, 0.6]), 2: np.array([0.4])}, "bad": {1: np.array([0.9]), 2: np.array([0.8])}}
    aurocs = {1: np.array([0.6, 0.8]), 2: np.array([0.9, 0.9])}
    left, right = draws_figure(scores, aurocs, "LAG").axes
    for line, (x, values) in zip(left.lines, ((0, [0.5, 0.6]), (1, [0.4]), (0, [0.9]), (1, [0.8])), strict=True):
        assert list(line.get_ydata()) == values and set(np.round(line.get_xdata())) == {x}
    normal, bad = left.lines[0].get_xdata(), left.lines[2].get_xdata()
    assert normal.max() < 0 < bad.min() and left.lines[2].get_color() == ANOMALOUS
    (bars,) = right.collections
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0.7, 0.7], [0.9, 0.9]]
    assert [label.get_text() for label in right.get_xticklabels()] == ["K = 1", "K = 2"]


def test_a_set_that_stands_alone_is_seen_first_and_auroc_has_its_line_of_chance() -> None:
    rows = {"first files": np.array([0.7]), "random": np.array([0.9, 0.8, 0.85])}
    left, right = support_sets_figure({"mean score": rows, "image AUROC": rows}, ("near", "then")).axes
    for ax in (left, right):
        alone, many = ax.lines[:2]
        assert alone.get_xydata().tolist() == [[0.7, 0]] and alone.get_color() == ANOMALOUS
        assert list(many.get_xdata()) == [0.9, 0.8, 0.85] and set(np.round(many.get_ydata())) == {1}
        assert alone.get_markersize() > many.get_markersize() and many.get_color() == NORMAL
    assert len(left.lines) == 2 and list(right.lines[2].get_xdata()) == [0.5, 0.5]
    assert [label.get_text() for label in left.get_yticklabels()] == ["first files", "random"]
    assert [ax.get_title("left") for ax in (left, right)] == ["near", "then"]
    with pytest.raises(ValueError, match="same rows in every panel"):
        support_sets_figure({"a": rows, "b": {"random": np.array([0.1, 0.2])}})
