"""Figures of supports, maps, weights and comparisons; the static twins of what the widgets show.

Every function returns a matplotlib Figure on an opaque light card, so that it is readable on dark pages too, made
without pyplot, so that nothing stays open. `show_figure` displays one in a notebook with a text for screen readers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from d24fad_lite.figures.arrays import as_array
from d24fad_lite.figures.card import as_drawn, left_title, new_figure, plain_picture
from d24fad_lite.figures.overlay import STRENGTH, overlay, pixels
from d24fad_lite.figures.style import CHANCE, COLORS, INK, MARGIN, SOFT_INK
from d24fad_lite.messages import printable
from d24fad_lite.model.weighting import effective_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from d24fad_lite.supports.influence import ChoiceReport
    from d24fad_lite.supports.live import LiveResult

DARK = "#0b4f79"  # behind white numbers: contrast 8.6 to 1
PLAIN, MARKED = COLORS[0], COLORS[1]  # bars, and what is to be seen first


def contact_sheet(images: Tensor, names: Sequence[str], title: str = "", columns: int = 8) -> Figure:
    """Numbered supports in their order, with names below.

    Parameters
    ----------
    images : Tensor, float [K, 3, S, S] in 0..1
        At least one.
    names : sequence of K str
    title : str, optional
    columns : int
        Images per row at most, default 8.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        No image, or another number of names than of images.
    """
    if len(images) == 0 or len(images) != len(names):
        raise ValueError(f"contact_sheet() got {len(images)} images and {len(names)} names; give one name per image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    with new_figure(max(1.35 * columns, 3.0), 1.55 * rows + (0.35 if title else 0)) as figure:
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for number, (ax, image, name) in enumerate(zip(axes, images, names, strict=False), start=1):
            plain_picture(ax, pixels(image))
            ax.set_xlabel(_short(name), fontsize=9)
            ax.text(
                0.04,
                0.96,
                str(number),
                transform=ax.transAxes,
                ha="left",
                va="top",
                fontsize=12,
                fontweight="bold",
                color="white",
                bbox={"boxstyle": "round,pad=0.25", "fc": DARK, "ec": "white"},
            )
        for ax in axes[len(images) :]:
            ax.set_axis_off()
        left_title(figure, title)
    return figure


def map_figure(results: Sequence[LiveResult], opacity: float = STRENGTH) -> Figure:
    """One column per query: the image above, the map over it below, the mask's outline on both, one colour scale.

    Parameters
    ----------
    results : sequence of LiveResult
        At least one; the first one's colour scale is used for all.
    opacity : float
        Of the map's colour at its fullest, 0..1, default 0.65.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        No results.
    """
    if not results:
        raise ValueError("map_figure() got no results; give at least one LiveResult")
    limits = results[0].limits
    with new_figure(max(1.8 * len(results), 3.6), 4.1) as figure:
        axes = figure.subplots(2, len(results), squeeze=False)
        for column, result in enumerate(results):
            top, bottom = axes[:, column]
            plain_picture(top, overlay(result.image, None, limits, result.mask, size=256))
            plain_picture(bottom, overlay(result.image, result.anomaly_map, limits, result.mask, opacity, size=256))
            top.set_title(
                f"{_short(result.name)}\n{'anomalous' if result.label else 'normal'}",
                fontsize=9,
                loc="center",
                fontweight="normal",
            )
            bottom.set_xlabel(f"score {result.score:.3f}\n{_threshold_label(result)}", fontsize=9)
        marked = any(r.mask is not None and r.mask.any() for r in results)
        axes[0, 0].set_ylabel("image, lesion outlined" if marked else "image", fontsize=9)
        axes[1, 0].set_ylabel("anomaly map", fontsize=9)
    return figure


def _threshold_label(result: LiveResult) -> str:
    if result.threshold is None:
        return "no threshold"
    return f"{'>' if result.score > result.threshold else '≤'} threshold {result.threshold:.3f}"


def weights_figure(weights: np.ndarray | Tensor, names: Sequence[str] | None = None, title: str = "") -> Figure:
    """Weights of one query as bars, one panel per level, with the effective number of supports.

    Parameters
    ----------
    weights : ndarray or Tensor, float [L, K]
        Levels from fine to coarse by supports; every row sums to 1.
    names : sequence of K str, optional
        Of the supports, default "support 1" and so on.
    title : str, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Weights of another number of dimensions.
    """
    w = as_array(weights, np.float64)
    if w.ndim != 2:
        raise ValueError(f"weights have shape {w.shape}, expected [L, K]: levels by supports, of one query")
    levels, count = w.shape
    labels = [f"{k}  {_short(names[k - 1], 14)}" if names else f"support {k}" for k in range(1, count + 1)]
    with new_figure(2.5 * levels + 1.0, max(1.6, 0.34 * count + 0.95)) as figure:
        axes = figure.subplots(1, levels, squeeze=False, sharey=True)[0]
        for level, (ax, row, number) in enumerate(zip(axes, w, effective_number(w), strict=True), start=1):
            ax.barh(range(count), row, color=PLAIN, height=0.66)
            for k, value in enumerate(row):
                inside = value > 0.75
                ax.text(
                    value - 0.03 if inside else value + 0.03,
                    k,
                    f"{value:.2f}",
                    va="center",
                    fontsize=9,
                    ha="right" if inside else "left",
                    color="white" if inside else INK,
                )
            ax.axvline(1 / count, color=SOFT_INK, linewidth=1, linestyle=":")
            ax.set(xlim=(0, 1.04), yticks=range(count), xlabel="weight")
            ax.set_yticklabels(labels, fontsize=9)
            ax.set_title(f"level {level}: effective K {number:.2f}", fontsize=10)
            ax.grid(axis="y", visible=False)
        axes[0].invert_yaxis()
        left_title(figure, title)
    return figure


def temperature_figure(
    curves: Mapping[str, Mapping[str, np.ndarray]], temperatures: np.ndarray, shots: int, mark: float = 1.0
) -> Figure:
    """Effective number of supports against the temperature of the weights, one panel per way of scaling the scores.

    Parameters
    ----------
    curves : mapping of str to mapping of str to float [T]
        Title of a panel -> name of a line, such as a level -> effective K at each temperature.
    temperatures : float [T], above 0
    shots : int
        K, the most that the effective number can be.
    mark : float, default 1.0
        The temperature that a dotted line marks.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(4.8 * len(curves), 3.2) as figure:
        axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for ax, (title, lines) in zip(axes, curves.items(), strict=True):
            for (name, values), color in zip(lines.items(), COLORS, strict=False):
                ax.semilogx(temperatures, values, color=color, label=name)
            ax.axvline(mark, **CHANCE)
            ax.set(xlabel="temperature T", title=title)
        axes[0].set(ylabel="mean effective K", ylim=(0.9, shots + 0.1))
        axes[0].legend()
    return figure


def choice_figure(report: ChoiceReport, influence: bool = True) -> Figure:
    """Where the choice stands among random sets (image and pixel AUROC), and the influence of each support.

    Parameters
    ----------
    report : ChoiceReport
    influence : bool
        Draw the influences too, where the report holds any; default True.

    Returns
    -------
    matplotlib Figure
    """
    panels: list[tuple[str, float, np.ndarray, float]] = [
        ("image AUROC", report.auroc, report.random_auroc, report.percentile)
    ]
    if report.pixel_auroc is not None and report.random_pixel_auroc is not None:
        panels.append(("pixel AUROC", report.pixel_auroc, report.random_pixel_auroc, report.pixel_percentile or 0.0))
    influence = influence and bool(report.influence)
    count = len(panels) + influence
    with new_figure(3.4 * count, 2.7) as figure:
        axes = np.atleast_1d(figure.subplots(1, count))
        for ax, (name, value, others, rank) in zip(axes, panels, strict=False):
            ax.hist(others, bins=min(16, max(5, len(others) // 5)), color="#9aa0a6")
            ax.axvline(value, color=MARKED, linewidth=2.5)
            ax.set(xlabel=name, ylabel="random sets")
            title = f"chosen {value:.3f} (line), better\nthan {rank:.0f} % of {len(others)} random sets"
            ax.set_title(title, fontsize=10)
            ax.yaxis.get_major_locator().set_params(integer=True)
            ax.xaxis.get_major_locator().set_params(nbins=3)  # close to 1 the labels have four decimals
        if influence:
            _influence_bars(axes[-1], report)
    return figure


def _influence_bars(ax: Axes, report: ChoiceReport) -> None:
    """One bar per support, a flagged one in another colour and with an exclamation mark."""
    values = [i.change for i in report.influence]
    ax.barh(range(len(values)), values, color=[MARKED if i.flags else PLAIN for i in report.influence])
    ax.axvline(0, color=INK, linewidth=1)
    labels = [f"{'! ' if i.flags else ''}{k}  {_short(i.name, 12)}" for k, i in enumerate(report.influence, start=1)]
    ax.set(yticks=range(len(values)), xlabel="AUROC with it minus without")
    ax.set_yticklabels(labels, fontsize=9)
    widest = max([0.01, *map(abs, values)]) * 1.2
    if not any(values):  # bars of no length look like a figure that failed
        ax.text(0.5, 0.04, "no support changes it", transform=ax.transAxes, ha="center", color=INK, fontsize=9)
    ax.set_xlim(-widest, widest)
    ax.set_title("influence of each support", fontsize=10)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)


def png(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as PNG, the same bytes on every run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=MARGIN, metadata={"Software": None})
    return buffer.getvalue()


def show_figure(figure: Figure, alt: str, dpi: int = 80) -> None:
    """Display a figure in a notebook, with a text for those who cannot see it.

    Parameters
    ----------
    figure : matplotlib Figure
    alt : str
        What the figure shows, in words.
    dpi : int, default 80
        Dots per inch of the picture.
    """
    from IPython.display import Image, display

    display(Image(data=png(figure, dpi), alt=alt))


def _short(name: str, most: int = 18) -> str:
    """The end of a name, which is where images of one folder differ, as it can be drawn."""
    name = printable(name.rsplit("/", 1)[-1])
    return as_drawn(name if len(name) <= most else "…" + name[-(most - 1) :])
