"""Figures are a light card with a margin, whatever matplotlib was set to before: readable on a dark page."""

from __future__ import annotations

import io
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import style
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from d24fad_lite.figures.plots import png
from d24fad_lite.figures.style import CARD, MARGIN, settings, use_style

DPI = 80


@pytest.fixture(params=["default", "dark_background"])
def before(request: pytest.FixtureRequest) -> Iterator[None]:
    """What an editor may have set; everything is put back afterwards."""
    with mpl.rc_context(), style.context(request.param):
        yield


def drawn() -> Figure:
    """A figure that reaches its own edge, with all that has a colour."""
    figure = Figure(figsize=(3, 2))
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], label="line")
    ax.boxplot([[1, 2, 3]])
    ax.set(title="title", xlabel="x", ylabel="y")
    ax.legend()
    return figure


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def contrast(one: str, other: str) -> float:
    """As of WCAG 2, from 1 to 21."""

    def light(color: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_words_and_lines_have_contrast_whatever_was_set_before(before: None) -> None:
    use_style()
    figure = drawn()
    figure.canvas.draw()
    for text in figure.findobj(Text):
        assert not text.get_text() or contrast(text.get_color(), CARD) >= 4.5, text
    for line in figure.findobj(Line2D):
        assert line.get_linewidth() < 1 or line in grid_lines(figure) or contrast(line.get_color(), CARD) >= 1.8, line


def grid_lines(figure: Figure) -> list[Line2D]:
    return [line for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for line in axis.get_gridlines()]


def test_a_saved_figure_has_an_opaque_margin_on_all_sides(before: None) -> None:
    use_style()
    buffer = io.BytesIO()
    drawn().savefig(buffer, dpi=DPI, bbox_inches="tight")  # as a notebook and lesson.save_figure do
    for data in (buffer.getvalue(), png(drawn(), DPI)):
        image = pixels(data)
        assert (image[..., 3] == 255).all()
        card = np.round(255 * np.array(to_rgba(CARD)))
        frame = np.ones(image.shape[:2], bool)
        wide = int(MARGIN * DPI) - 2  # a pixel for rounding, one for soft edges
        frame[wide:-wide, wide:-wide] = False
        assert (image[frame] == card).all() and not (image[~frame] == card).all()


def test_no_colour_of_a_dark_style_is_left() -> None:
    """Each setting that the dark style changes is set again."""
    dark = style.library["dark_background"]
    assert set(dark) - set(settings()) <= {"boxplot.medianprops.color", "boxplot.meanprops.color"}
