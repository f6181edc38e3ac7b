"""From residuals to score: the maps of several images side by side, and what a score is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from d24fad_lite.figures.arrays import as_array
from d24fad_lite.figures.card import new_figure, plain_picture
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, COLORS, GREY, NORMAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROSS = COLORS[5]  # sky blue: the one colour that neither `magma` nor a medical image holds


def query_maps_figure(
    images: Tensor,
    labels: Sequence[int] | np.ndarray,
    maps: Mapping[str, Tensor | np.ndarray],
    masks: Tensor | np.ndarray | None = None,
    *,
    across: bool = False,
    peaks: bool = False,
) -> Figure:
    """Several images, each with its maps; a kind of map has one colour scale for all images.

    Parameters
    ----------
    images : float [N, 3, S, S], in 0..1
    labels : int [N]
        0 normal, 1 anomalous.
    maps : mapping of name to [N, H, W], or colours [N, H, W, 3] in 0..1
        Any grid; a coarse one is stretched over the image. The scale runs from the 2 % quantile to the maximum.
    masks : bool [N, S, S], optional
        Lesions, outlined on the image and on every map of the image's size.
    across : bool, default False
        Give each image a row, its maps beside it; else a column, its maps below it.
    peaks : bool, default False
        Mark the highest pixel of every map of the image's size with a cross.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Maps of another number of images.
    """
    arrays = {name: as_array(values) for name, values in maps.items()}
    for name, values in arrays.items():
        if values.shape[3:] not in ((), (3,)) or len(values) != len(images):
            raise ValueError(f"map {name!r} has shape {values.shape}; expected [{len(images)}, H, W], one per image")
    shape = (1 + len(arrays), len(images))
    height, width = shape[::-1] if across else shape
    with new_figure(1.55 * width + 0.4, 1.6 * height + 0.3) as figure:
        axes = figure.subplots(height, width, squeeze=False)
        axes = axes.T if across else axes  # (1 + maps, N)
        for n, column in enumerate(axes.T):
            mask = None if masks is None else as_array(masks[n], bool)
            _image_and_maps(column, as_array(images[n]), [values[n] for values in arrays.values()], mask, peaks)
            title = ("anomalous", ANOMALOUS) if labels[n] else ("normal", NORMAL)
            _name(column[0], *title, beside=across)
        for row, (name, values) in zip(axes[1:], arrays.items(), strict=True):
            for ax in row if values.ndim == 3 else ():
                ax.images[0].set_clim(float(np.quantile(values, 0.02)), float(values.max()))
            _name(row[0], name, "black", beside=not across)
    return figure


def _image_and_maps(
    column: np.ndarray, image: np.ndarray, maps: list[np.ndarray], mask: np.ndarray | None, peaks: bool
) -> None:
    """One image and its maps, from the first axes on."""
    size = image.shape[-1]
    frame = (-0.5, size - 0.5, size - 0.5, -0.5)
    plain_picture(column[0], np.moveaxis(image, 0, -1))
    for ax, values in zip(column[1:], maps, strict=True):
        plain_picture(ax, values)
        ax.images[0].set(cmap="magma", extent=frame)
        if peaks and values.shape == (size, size):
            row, place = np.unravel_index(int(values.argmax()), values.shape)
            ax.plot(place, row, "+", color=CROSS, markersize=10, markeredgewidth=2)
    full = [column[0], *(ax for ax, values in zip(column[1:], maps, strict=True) if values.shape == (size, size))]
    for ax in full if mask is not None and mask.any() else []:
        ax.contour(mask, [0.5], colors=ANOMALOUS if ax is column[0] else "white", linewidths=1.1)


def _name(ax: Axes, name: str, color: str, beside: bool) -> None:
    """The name of a row beside its first picture, of a column above it."""
    if beside:
        ax.set_ylabel(name, color=color, fontsize=10)
    else:
        ax.set_title(name, color=color, fontsize=10, loc="center", fontweight="normal")


def level_shares_figure(shares: Tensor | np.ndarray, labels: Sequence[int] | np.ndarray) -> Figure:
    """The image scores as bars, highest first, each split into what the levels gave to it.

    Parameters
    ----------
    shares : float [L, N]
        Share of each level, fine to coarse, in each score; the sum over levels is the score.
    labels : int [N]
        0 normal, 1 anomalous.

    Returns
    -------
    matplotlib Figure
    """
    parts, marked = as_array(shares), as_array(labels) == 1
    order = np.argsort(-parts.sum(axis=0), kind="stable")
    with new_figure(7.2, 3.4) as figure:
        ax = figure.subplots()
        bottom = np.zeros(parts.shape[1])
        for level, part in enumerate(parts, start=1):
            color = COLORS[(0, 5, 2)[(level - 1) % 3]]
            ax.bar(range(len(order)), part[order], 0.86, bottom, color=color, label=f"level {level}")
            bottom += part[order]
        top = np.where(marked[order], 1.03 * bottom, np.nan)
        ax.plot(range(len(order)), top, "v", color=ANOMALOUS, markersize=5, label="anomalous")
        ax.set(xlabel="test images, highest score first", ylabel="image score", xticks=[], ylim=(0, 1.28 * max(bottom)))
        ax.set_title("Which level makes the score")
        ax.legend(ncols=parts.shape[0] + 1, loc="upper right", fontsize=9)
        ax.grid(axis="x", visible=False)
    return figure


def blur_and_levels_figure(
    widths: Sequence[float], by_width: Mapping[str, np.ndarray], by_levels: Mapping[str, np.ndarray]
) -> Figure:
    """AUROC over the width of the blur (lines), and for sets of levels (dots); each draw of supports is shown.

    Parameters
    ----------
    widths : W numbers
        Sigma in pixels.
    by_width : mapping of name to float [W, D]
        AUROC of each width and draw; one line per name, thin ones for the draws.
    by_levels : mapping of name to float [D]
        AUROC of each draw; dots, and a diamond for the mean.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(10, 3.8) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        at = range(len(widths))
        for (name, values), color, style in zip(by_width.items(), COLORS, ("o-", "s--", "^:", "d-."), strict=False):
            left.plot(at, values, style[1:], color=color, linewidth=0.8, alpha=0.45)
            left.plot(at, np.mean(values, axis=1), style, color=color, label=name)
        left.set(xticks=at, xlabel="blur, sigma in px", ylabel="AUROC", title="Width of the blur (thin: draws)")
        left.set_xticklabels([f"{width:g}" for width in widths])
        left.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        for x, values in enumerate(by_levels.values()):
            right.plot([x] * len(values), values, "o", color=GREY, markersize=5, alpha=0.8)
            right.plot(x, np.mean(values), "D", color=COLORS[1], markersize=8)
        right.set(xticks=range(len(by_levels)), xlabel="levels added", title="Levels, maximum (dots: draws)")
        right.set_xticklabels(list(by_levels))
        for ax in (left, right):
            ax.axhline(0.5, **CHANCE)
    return figure
