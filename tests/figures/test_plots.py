"""Overlays put colour where the map is high, and figures say in text what they show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from d24fad_lite.data.benchmark import Task
from d24fad_lite.figures import plots
from d24fad_lite.figures.overlay import OUTLINE, heat_colors, overlay, overlay_grey, pixels
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.supports.influence import assess_choice
from d24fad_lite.supports.live import LiveDetector
from d24fad_lite.supports.selection import SupportSelection

GREY = torch.full((3, 32, 32), 0.5)


def texts(figure) -> str:
    from matplotlib.text import Text

    return " | ".join(t.get_text() for t in figure.findobj(Text))


def test_colour_lies_only_where_the_map_is_above_the_lower_limit() -> None:
    values = np.zeros((32, 32), np.float32)
    values[8:16, 8:16] = 2
    square = overlay(GREY, values, (0.5, 1.0))
    assert (square[0, 0] == pixels(GREY)[0, 0]).all()
    assert square[12, 12, 0] > square[12, 12, 2] + 50
    assert (overlay(GREY, values, (0.5, 1.0), opacity=0) == pixels(GREY)).all()


def test_the_ground_is_grey_so_that_red_is_seen_on_pink() -> None:
    pink = torch.tensor([0.9, 0.5, 0.7])[:, None, None].expand(3, 32, 32)
    square = overlay(pink, np.zeros((32, 32), np.float32), (0.5, 1.0))
    assert (square == square[..., :1]).all()


def test_a_map_is_stretched_over_a_picture_of_any_proportions() -> None:
    picture = np.full((20, 60, 3), (230, 120, 180), np.uint8)
    values = np.zeros((8, 8))
    values[:, 6:] = 2
    painted = overlay_grey(picture, values, (0.5, 1.0))
    assert painted.shape == (20, 60, 3) and painted.dtype == np.uint8
    assert (painted[:, :30] == painted[0, 0, 0]).all()  # grey, although the picture is pink
    assert (painted[:, 55:] == [round(0.35 * int(painted[0, 0, 0]) + 0.65 * c) for c in (255, 235, 40)]).all()


def test_a_picture_over_which_a_map_is_laid_can_be_brought_to_a_size() -> None:
    from PIL import Image

    picture = Image.linear_gradient("L")
    values = np.zeros((8, 8))
    painted = overlay_grey(picture, values, (0.5, 1.0), size=(30, 10))
    assert (painted[..., 0] == np.asarray(picture.resize((30, 10), Image.Resampling.LANCZOS))).all()


def test_the_outline_runs_around_the_mask_and_leaves_its_inside_alone() -> None:
    mask = np.zeros((32, 32), bool)
    mask[10:20, 10:20] = True
    square = overlay(GREY, None, (0, 1), mask, size=128)
    line = (square == OUTLINE).all(axis=2)
    assert line.any() and not line[50:70, 50:70].any() and not line[:30].any()


def test_heat_colours_grow_brighter() -> None:
    brightness = heat_colors() @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) >= 0).all()


def test_sixteen_bit_pictures_are_shown_in_eight() -> None:
    assert (pixels(np.full((4, 4, 3), 40000, np.uint16)) == 156).all()


def test_the_contact_sheet_numbers_and_names_every_support(task: Task) -> None:
    figure = plots.contact_sheet(task.train.images(32, range(3)), task.train.names[:3], "Supports", columns=2)
    said = texts(figure)
    assert all(part in said for part in ("1", "2", "3", "000.png", "002.png", "Supports"))
    with pytest.raises(ValueError, match="one name per image"):
        plots.contact_sheet(task.train.images(32, [0]), [])


def test_bars_of_weights_carry_their_values_and_the_effective_number() -> None:
    said = texts(plots.weights_figure(np.array([[1.0, 0, 0, 0], [0.25] * 4]), ["a.png", "b.png", "c.png", "d.png"]))
    assert "effective K 1.00" in said and "effective K 4.00" in said and "0.25" in said and "2  b.png" in said
    with pytest.raises(ValueError, match=r"expected \[L, K\]"):
        plots.weights_figure(np.zeros(3))


def test_the_effective_number_is_drawn_over_the_temperature_on_one_scale() -> None:
    temperatures, rising = np.array([0.1, 1.0, 10.0]), np.array([1.0, 2.0, 4.0])
    curves = {"a": {"level 1": rising, "level 2": rising / 2 + 1}, "b": {"level 1": rising}}
    left, right = plots.temperature_figure(curves, temperatures, shots=4).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[1, 2, 4], [1.5, 2, 3], [0, 1]]
    assert list(left.lines[0].get_xdata()) == [0.1, 1, 10] and list(left.lines[2].get_xdata()) == [1, 1]
    assert left.get_xscale() == "log" and left.get_ylim() == right.get_ylim() == (0.9, 4.1)
    assert right.get_title("left") == "b" and [t.get_text() for t in left.get_legend().get_texts()] == [
        "level 1",
        "level 2",
    ]


def test_every_figure_is_drawn_the_same_twice_and_leaves_pyplot_alone(task: Task, model: D24FAD) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    live = LiveDetector(model, task, SupportSelection(task, 3))
    live.selection.select([0, 1, 2])
    before, size = pyplot.get_fignums(), mpl.rcParams["figure.figsize"]
    report = assess_choice(model, task, [0, 1, 2], sets=5)
    for make in (lambda: plots.map_figure([live.result(0), live.result(9)]), lambda: plots.choice_figure(report)):
        first = plots.png(make())
        assert first.startswith(b"\x89PNG") and first == plots.png(make())
    assert pyplot.get_fignums() == before and mpl.rcParams["figure.figsize"] == size
    said = texts(plots.map_figure([live.result(0), live.result(9)]))
    assert "normal" in said and "anomalous" in said and "threshold" in said
    assert "chosen 0." in texts(plots.choice_figure(report))


def test_a_result_without_a_threshold_says_so(task: Task, model: D24FAD) -> None:
    live = LiveDetector(model, task, SupportSelection(task, 10))
    live.selection.select(range(10))
    assert "no threshold" in texts(plots.map_figure([live.result(0)]))
