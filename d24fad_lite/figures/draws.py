"""Draws of supports: which repeat, how far scores and AUROC move with them, and one set beside random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, COLORS, GREY, NORMAL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGE_AUROC = "image AUROC"
OF_K = (COLORS[0], COLORS[2], COLORS[1])


def repeats_figure(law: pd.DataFrame, counted: pd.DataFrame, met: pd.DataFrame, title: str = "") -> Figure:
    """How many queries have some support twice, and how many pairs of query and support a training ever meets.

    Parameters
    ----------
    law : DataFrame, float in 0..1
        Expected share of queries with a repeated support: one row per number of images, one column per K.
    counted : DataFrame, float in 0..1
        The same, counted; drawn as dots on the lines of `law`, whose columns it has.
    met : DataFrame, float in 0..1
        Share of all pairs met so far: one row per epoch; the first column is the law, drawn broad and grey.
    title : str, optional
        Behind the title of the right panel.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(9.6, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for shots, color in zip(law.columns, OF_K):
            left.plot(law.index, law[shots], color=color, label=f"K = {shots}")
            left.plot(counted.index, counted[shots], "o", color=color, ms=6)
        left.set(xscale="log", xlabel="normal training images in the task", ylabel="share of queries", ylim=(0, 1))
        left.set_xticks(counted.index, [str(count) for count in counted.index])
        left.minorticks_off()
        left.set_title("A support twice: law (line), count (dots)", fontsize=11)
        left.legend()
        expected, *curves = met.columns
        right.plot(met.index, met[expected], color=GREY, lw=5, alpha=0.5, label=expected)
        for name, color in zip(curves, (NORMAL, ANOMALOUS)):
            right.plot(met.index, met[name], color=color, label=name)
        right.set(xlabel="epochs of training", ylabel="share of all pairs", ylim=(0, 1.03))
        right.set_title(f"Pairs (query, support) ever met{title}", fontsize=11)
        right.legend(loc="center right")
    return figure


def draws_figure(
    scores: Mapping[str, Mapping[int, np.ndarray]], aurocs: Mapping[int, np.ndarray], title: str = ""
) -> Figure:
    """What the draw of the supports alone moves: the scores of two images, and the AUROC, with one dot per draw.

    Parameters
    ----------
    scores : mapping of str to mapping of int to float [D]
        What is said of an image, a normal one first and then an anomalous one -> K -> its score with each draw.
    aurocs : mapping of int to float [D]
        K -> image AUROC of each draw; the mean is drawn as a bar.
    title : str, optional
        Of the right panel, such as the name of the task.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(9.6, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for (name, by_shots), color, aside in zip(scores.items(), (NORMAL, ANOMALOUS), (-0.16, 0.16), strict=True):
            _clouds(left, by_shots, color, aside, name)
        left.set(ylabel="score")
        left.set_title(f"Two images, {len(next(iter(aurocs.values())))} draws of supports", fontsize=11)
        _clouds(right, aurocs, GREY, 0.0)
        means = [float(np.mean(values)) for values in aurocs.values()]
        right.hlines(
            means, np.arange(len(means)) - 0.25, np.arange(len(means)) + 0.25, color=NORMAL, lw=3, label="mean"
        )
        right.axhline(0.5, **CHANCE)
        right.set(ylabel=IMAGE_AUROC)
        right.set_title(title, fontsize=11)
        for ax in (left, right):
            ax.set_xticks(range(len(aurocs)), [f"K = {shots}" for shots in aurocs])
            ax.legend(loc="best")
    return figure


def _clouds(ax: Axes, by_shots: Mapping[int, np.ndarray], color: str, aside: float, label: str | None = None) -> None:
    """A cloud of dots per K, so far beside its place on the axis; spread at random, so that they can be told apart."""
    rng = np.random.default_rng(0)
    for x, values in enumerate(by_shots.values()):
        place = x + aside + rng.uniform(-0.09, 0.09, len(values))
        ax.plot(place, values, "o", color=color, ms=4, alpha=0.6, label=None if x else label)


def support_sets_figure(panels: Mapping[str, Mapping[str, np.ndarray]], titles: Sequence[str] = ()) -> Figure:
    """Support sets as dots in named rows, one panel per measure; a set that stands alone is large and vermilion.

    Parameters
    ----------
    panels : mapping of str to mapping of str to float [R]
        Name of a measure -> name of a row -> its value for each support set of the row. The rows are the same in all
        panels. The measure "image AUROC" gets the line of chance.
    titles : sequence of str, optional
        Over the panels.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Panels with different rows.
    """
    rows = [list(by_row) for by_row in panels.values()]
    if not rows or any(names != rows[0] for names in rows):
        raise ValueError(f"support_sets_figure() needs the same rows in every panel, got {rows}")
    with new_figure(4.8 * len(panels), 0.65 * len(rows[0]) + 1.25) as figure:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (measure, by_row) in zip(axes, panels.items(), strict=True):
            for y, values in enumerate(by_row.values()):
                if len(values) == 1:
                    ax.plot(values, [y], "o", color=ANOMALOUS, ms=10)
                else:
                    ax.plot(values, y + np.linspace(-0.2, 0.2, len(values)), "o", color=NORMAL, ms=4.5, alpha=0.55)
            if measure == IMAGE_AUROC:
                ax.axvline(0.5, **CHANCE)
            ax.set(xlabel=measure, ylim=(len(by_row) - 0.5, -0.5))
        axes[0].set_yticks(range(len(rows[0])), rows[0])
        for ax, title in zip(axes, titles):
            ax.set_title(title, fontsize=11)
    return figure
