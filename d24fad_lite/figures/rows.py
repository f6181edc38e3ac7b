"""Images and maps in named rows: the commonest picture of the series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from d24fad_lite.figures.arrays import as_array
from d24fad_lite.figures.card import as_drawn, new_figure, plain_picture
from d24fad_lite.figures.overlay import pixels
from d24fad_lite.figures.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP_COLOURS = "magma"


def image_rows_figure(
    rows: Mapping[str, Sequence[Tensor | np.ndarray]],
    titles: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    mask: Tensor | None = None,
    width: float = 1.35,
    masks: Mapping[str, Sequence[Tensor | None]] | None = None,
) -> Figure:
    """One row per name, one picture per column; maps of a row share one colour scale.

    Parameters
    ----------
    rows : mapping of str to sequence
        Name of a row -> its pictures: images as Tensor [3, S, S] in 0..1 or uint8 [S, S, 3], maps as float [S, S].
        Rows may differ in length.
    titles : sequence of str, optional
        Over the columns.
    captions : sequence of sequences of str, optional
        Under the pictures of each row.
    mask : Tensor, bool [S, S], optional
        A lesion whose outline is drawn into every picture of its size.
    width : float, default 1.35
        Inches of a picture.
    masks : mapping of str to sequence, optional
        Name of a row -> the lesion of each of its pictures, or None: outlines where every picture has its own.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        No rows, or a row without pictures; masks for a row that is not there, or another number than its pictures.
    """
    empty = [name for name, pictures in rows.items() if len(pictures) == 0]
    if not rows or empty:
        raise ValueError(f"image_rows_figure() got no pictures{' for ' + ', '.join(empty) if empty else ''}")
    outlines = _outlines(rows, mask, masks or {})
    columns = max(map(len, rows.values()))
    height = (width + 0.12) * len(rows) + 0.35 * bool(titles) + 0.25 * sum(map(any, captions))
    with new_figure(width * columns + 0.16 * max(map(len, rows)), height) as figure:
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for number, (line, (name, pictures)) in enumerate(zip(axes, rows.items(), strict=True)):
            limits = _limits(pictures)
            for column, ax in enumerate(line):
                if column >= len(pictures):
                    ax.set_axis_off()
                    continue
                _show(ax, pictures[column], limits, outlines[name][column])
                if number < len(captions) and column < len(captions[number]) and captions[number][column]:
                    ax.set_xlabel(as_drawn(captions[number][column]), fontsize=9)
            line[0].set_ylabel(as_drawn(name), rotation=0, ha="right", va="center", fontsize=10)
        for ax, title in zip(axes[0], titles, strict=False):
            ax.set_title(as_drawn(title), fontsize=10, loc="center")
    return figure


def _outlines(
    rows: Mapping[str, Sequence[Tensor | np.ndarray]],
    mask: Tensor | None,
    masks: Mapping[str, Sequence[Tensor | None]],
) -> dict[str, Sequence[Tensor | None]]:
    """The lesion of every picture, by row: the row's own masks, else the one mask for all."""
    for name, own in masks.items():
        if name not in rows or len(own) != len(rows[name]):
            raise ValueError(
                f"image_rows_figure() got {len(own)} masks for {name!r}, which has {len(rows.get(name, ()))} pictures"
            )
    return {name: masks.get(name, [mask] * len(pictures)) for name, pictures in rows.items()}


def _is_map(picture: Tensor | np.ndarray) -> bool:
    return picture.ndim == 2


def _limits(pictures: Sequence[Tensor | np.ndarray]) -> tuple[float, float]:
    """Lowest and highest value of a row's maps; (0, 1) where it has none."""
    maps = [as_array(picture) for picture in pictures if _is_map(picture)]
    return (min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)) if maps else (0.0, 1.0)


def _show(ax: Axes, picture: Tensor | np.ndarray, limits: tuple[float, float], mask: Tensor | None) -> None:
    if _is_map(picture):
        plain_picture(ax, as_array(picture))
        ax.images[0].set(cmap=MAP_COLOURS, clim=limits)
    else:
        plain_picture(ax, pixels(picture))
    side = picture.shape[-2:] if _is_map(picture) or isinstance(picture, Tensor) else picture.shape[:2]
    if mask is not None and mask.any() and mask.shape == side:
        ax.contour(as_array(mask), [0.5], colors=COLORS[5], linewidths=1.2)
