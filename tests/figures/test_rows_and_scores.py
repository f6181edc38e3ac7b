"""Rows of pictures keep one colour scale a row; strips and lotteries show every value once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from d24fad_lite.figures.rows import image_rows_figure
from d24fad_lite.figures.scores import lottery_figure, score_strips_figure
from d24fad_lite.figures.style import ANOMALOUS


def test_maps_of_a_row_share_a_scale_and_images_keep_their_colours() -> None:
    image = torch.zeros(3, 8, 8)
    image[0] = 1.0
    rows = {"image": [image], "maps": [np.zeros((8, 8)), np.full((8, 8), 3.0)], "other maps": [np.eye(8)]}
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 2:5] = True
    figure = image_rows_figure(rows, titles=["one", "two"], captions=[["red"]], mask=mask)
    axes = np.array(figure.axes).reshape(3, 2)
    assert axes[0, 0].images[0].get_array()[0, 0].tolist() == [255, 0, 0]
    assert [axes[1, c].images[0].get_clim() for c in (0, 1)] == [(0, 3), (0, 3)]
    assert axes[2, 0].images[0].get_clim() == (0, 1) and not axes[2, 1].axison and not axes[0, 1].axison
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["image", "maps", "other maps"]
    assert [ax.get_title() for ax in axes[0]] == ["one", "two"] and axes[0, 0].get_xlabel() == "red"
    assert all(len(ax.collections) for ax in axes[1])  # the outline


def test_a_row_may_give_each_picture_its_own_lesion() -> None:
    pictures = {"image": [torch.zeros(3, 8, 8)] * 2, "map": [np.eye(8)] * 2}
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 2:5] = True
    axes = image_rows_figure(pictures, masks={"map": [None, mask]}).axes
    assert [len(ax.collections) for ax in axes] == [0, 0, 0, 1]
    for wrong in ({"map": [mask]}, {"maps": [mask, mask]}):
        with pytest.raises(ValueError, match=f"got {len(next(iter(wrong.values())))} masks for '{next(iter(wrong))}'"):
            image_rows_figure(pictures, masks=wrong)


def test_a_row_without_captions_takes_no_room_for_them() -> None:
    rows = {"image": [torch.zeros(3, 8, 8)], "map": [np.eye(8)]}
    none, one, two = (image_rows_figure(rows, captions=c).get_figheight() for c in ([], [[], ["a"]], [["a"], ["b"]]))
    assert none < one < two


@pytest.mark.parametrize("rows", [{}, {"empty": []}])
def test_rows_without_pictures_are_refused(rows: dict) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        image_rows_figure(rows)


def test_scores_above_the_threshold_are_alarms() -> None:
    groups = {"normal": np.array([0.1, 0.2, 0.3]), "new": np.array([0.15, 0.5, 0.9])}
    (ax,) = score_strips_figure(groups, threshold=0.4, label="at most 10 %").axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    alarms = np.concatenate([line.get_xdata() for line in dots if line.get_color() == ANOMALOUS])
    assert sorted(alarms) == [0.5, 0.9]
    assert sorted(np.concatenate([line.get_xdata() for line in dots])) == [0.1, 0.15, 0.2, 0.3, 0.5, 0.9]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["normal", "new"]


def test_every_random_set_and_every_suggestion_stands_in_its_row() -> None:
    drawn = {"matched, K = 1": np.array([0.7, 0.8]), "released, K = 1": np.array([0.5, 0.6])}
    suggested = {"matched, K = 1": {"a": 0.75, "b": 0.9}, "released, K = 1": {"a": 0.4, "b": 0.55}}
    (ax,) = lottery_figure(drawn, suggested).axes
    marks = [
        (float(line.get_xdata()[0]), round(float(line.get_ydata()[0]))) for line in ax.lines if line.get_marker() == "D"
    ]
    assert marks == [(0.75, 0), (0.9, 0), (0.4, 1), (0.55, 1)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2 random sets", "a", "b"]
    with pytest.raises(ValueError, match="suggestions for other"):
        lottery_figure(drawn, {"other": {"a": 1.0}})
