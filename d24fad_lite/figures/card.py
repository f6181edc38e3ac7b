"""The card that every figure is drawn on, its title, and a picture without axes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.style import settings
from d24fad_lite.messages import printable_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the series' look, also outside a lesson; the caller's matplotlib settings stay as they are."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(settings()):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def as_drawn(text: str) -> str:
    """A text, such as a file's name, that is drawn as it is written: a dollar begins no formula."""
    return printable_lines(text).replace("$", r"\$")


def left_title(figure: Figure, title: str) -> None:
    """A title over all panels, where there is one."""
    if title:
        figure.suptitle(as_drawn(title), x=0.01, ha="left", fontsize=11, fontweight="bold")


def plain_picture(ax: Axes, square: np.ndarray) -> None:
    """Show an image without ticks, grid and frame."""
    ax.imshow(square)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
