"""Figures of maps show the values that they are given: where, on which scale, split into which parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from d24fad_lite.figures.anomaly_maps import blur_and_levels_figure, level_shares_figure, query_maps_figure

RNG = np.random.default_rng(0)
IMAGES = torch.from_numpy(RNG.random((3, 3, 16, 16)))
LABELS = np.array([0, 1, 1])
MAPS = {"coarse": RNG.random((3, 4, 4)), "full": RNG.random((3, 16, 16)) + 5}


def titles(axes) -> list[str]:
    return [ax.get_title(loc="center") for ax in axes]


def test_each_image_has_a_column_and_each_kind_of_map_one_scale() -> None:
    figure = query_maps_figure(IMAGES, LABELS, MAPS)
    axes = np.array(figure.axes).reshape(3, 3)
    assert titles(axes[0]) == ["normal", "anomalous", "anomalous"]
    assert [row[0].get_ylabel() for row in axes] == ["", "coarse", "full"]
    for row, values in zip(axes[1:], MAPS.values(), strict=True):
        assert {ax.images[0].get_clim() for ax in row} == {(np.quantile(values, 0.02), values.max())}
        for ax, one in zip(row, values, strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), one)
            assert list(ax.images[0].get_extent()) == [-0.5, 15.5, 15.5, -0.5]


def test_across_the_same_pictures_lie_in_rows() -> None:
    figure = query_maps_figure(IMAGES, LABELS, MAPS, across=True)
    axes = np.array(figure.axes).reshape(3, 3)
    assert titles(axes[0]) == ["", "coarse", "full"]
    assert [row[0].get_ylabel() for row in axes] == ["normal", "anomalous", "anomalous"]
    np.testing.assert_array_equal(axes[1, 2].images[0].get_array(), MAPS["full"][1])


def test_lesions_are_outlined_and_peaks_marked_on_pictures_of_the_images_size() -> None:
    masks = np.zeros((3, 16, 16), bool)
    masks[1, 4:8, 4:8] = True
    axes = np.array(query_maps_figure(IMAGES, LABELS, MAPS, masks, peaks=True).axes).reshape(3, 3)
    outlined = [[bool(ax.collections) for ax in row] for row in axes]
    assert outlined == [[False, True, False], [False] * 3, [False, True, False]]
    for ax, values in zip(axes[2], MAPS["full"], strict=True):
        (x,), (y,) = ax.lines[0].get_data()
        assert values[y, x] == values.max()
    assert not any(ax.lines for ax in axes[1])


def test_maps_of_another_number_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"map 'full' has shape \(2, 16, 16\); expected \[3, H, W\]"):
        query_maps_figure(IMAGES, LABELS, {"full": MAPS["full"][:2]})


def test_the_parts_of_a_bar_add_up_to_its_score_and_the_highest_comes_first() -> None:
    shares = np.array([[0.1, 0.5, 0.2], [0.2, 0.1, 0.4]])
    (ax,) = level_shares_figure(shares, LABELS).axes
    first, second = (list(container) for container in ax.containers)
    order = [0.6, 0.6, 0.3]
    assert [a.get_height() + b.get_height() for a, b in zip(first, second, strict=True)] == pytest.approx(order)
    assert [b.get_y() for b in second] == pytest.approx([a.get_height() for a in first])
    (marks,) = ax.lines
    assert np.isfinite(marks.get_ydata()).tolist() == [True, True, False], "the normal image is the lowest"


def test_means_of_the_draws_are_drawn_over_the_draws() -> None:
    by_width = {"maximum": np.array([[0.4, 0.6], [0.7, 0.9]])}
    left, right = blur_and_levels_figure([0, 4], by_width, {"1": np.array([0.5, 0.7]), "1+2": np.array([0.2])}).axes
    drawn = [list(line.get_ydata()) for line in left.lines]
    assert drawn[:2] == [[0.4, 0.7], [0.6, 0.9]] and drawn[2] == pytest.approx([0.5, 0.8])
    diamonds = [line.get_ydata() for line in right.lines if line.get_marker() == "D"]
    assert np.concatenate(diamonds) == pytest.approx([0.6, 0.2])
    assert [label.get_text() for label in right.get_xticklabels()] == ["1", "1+2"]


def test_colours_are_shown_as_they_are() -> None:
    colours = RNG.random((3, 4, 4, 3))
    axes = np.array(query_maps_figure(IMAGES, LABELS, {"drawn": colours}).axes).reshape(2, 3)
    np.testing.assert_array_equal(axes[1, 2].images[0].get_array(), colours[2])
