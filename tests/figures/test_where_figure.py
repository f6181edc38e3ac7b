"""Figures of places and thresholds: dots lie where the peaks are, the shaded part is the one that counts."""

from __future__ import annotations

import numpy as np
import pytest

from d24fad_lite.evaluation.uncertainty.thresholds import conformal_threshold, false_alarm_interval
from d24fad_lite.figures.where import mean_maps_figure, overlap_figure, peaks_figure, threshold_figure

LABELS = np.array([0, 1, 1])


def test_a_dot_lies_at_the_peak_and_is_filled_on_a_lesion() -> None:
    maps = np.zeros((3, 8, 8))
    for values, (row, column) in zip(maps, [(1, 2), (3, 4), (5, 6)], strict=True):
        values[row, column] = 1
    hits = {"a": np.array([False, False, True])}
    (ax,) = peaks_figure({"a": maps}, LABELS, np.zeros((8, 8)), hits).axes
    dots = {line.get_label(): (line.get_xydata().tolist(), line.get_markerfacecolor()) for line in ax.lines}
    assert {name: place for name, (place, _) in dots.items()} == {
        "normal": [[2, 1]],
        "anomalous": [[4, 3]],
        "anomalous, on a lesion": [[6, 5]],
    }
    assert dots["anomalous"][1] == "none" != dots["anomalous, on a lesion"][1]


def test_the_shade_ends_at_the_limit() -> None:
    x = np.linspace(0, 1, 11)
    (ax,) = overlap_figure({"a": (x, x**0.5)}, limit=0.25).axes
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 0].max() == 0.25 and corners[:, 1].max() == pytest.approx(np.interp(0.25, x, x**0.5))
    assert ax.get_legend().get_texts()[0].get_text() == "a"


def test_maps_carry_names_and_notes_and_spare_places_are_empty() -> None:
    maps = {"one": np.eye(4), "two": 2 * np.eye(4)}
    first, second, spare = mean_maps_figure(maps, {"one": "ratio 1", "two": "ratio 2"}).axes
    assert (first.get_title(), first.get_xlabel()) == ("one", "ratio 1")
    np.testing.assert_array_equal(second.images[0].get_array(), maps["two"])
    assert not spare.axison


def test_the_threshold_and_the_band_of_its_rate_are_those_of_the_package() -> None:
    normal = np.arange(20) / 20
    threshold = conformal_threshold(normal, 0.1)
    scores = {"calibration": normal, "normal": normal[:5], "anomalous": normal[:4] + 1}
    left, right = threshold_figure(scores, 20, 0.1, threshold).axes
    *groups, line = left.lines
    assert line.get_xdata() == [threshold.value, threshold.value]
    assert [group.get_xdata().tolist() for group in groups] == [values.tolist() for values in scores.values()]
    band = right.collections[0].get_paths()[0].vertices
    low, high = (100 * rate for rate in false_alarm_interval(9, 0.1))
    assert band[band[:, 0] == 9, 1].min() == pytest.approx(low)
    assert band[band[:, 0] == 9, 1].max() == pytest.approx(high)


def test_without_a_threshold_none_is_drawn() -> None:
    scores = {name: np.array([0.1, 0.2]) for name in ("calibration", "normal", "anomalous")}
    left, _ = threshold_figure(scores, 2, 0.1).axes
    assert len(left.lines) == 3 and left.get_title(loc="left") == ""
