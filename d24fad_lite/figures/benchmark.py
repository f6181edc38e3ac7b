"""A benchmark in one picture: every task, and the mean over tasks against the number of supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import CHANCE, COLORS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNS = "osD^vX"


def benchmark_figure(by_task: pd.DataFrame, means: pd.DataFrame, shots: int) -> Figure:
    """Image AUROC of each method on each task, beside its mean over tasks with an interval at every K.

    Parameters
    ----------
    by_task : DataFrame, float [M, T]
        One row per method, one column per held-out task, at `shots` supports.
    means : DataFrame
        Columns method, K, AUROC, low and high: the mean over tasks and its interval.
    shots : int
        K of `by_task`, for its title.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        A method of `by_task` that `means` does not have.
    """
    missing = [name for name in by_task.index if name not in set(means["method"])]
    if missing:
        raise ValueError(f"benchmark_figure() got no means for {', '.join(missing)}; give a row per method and K")
    with new_figure(12, 4) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.15, 1]})
        _heat(left, by_task, shots)
        _means_with_intervals(right, list(by_task.index), means)
    return figure


def _heat(ax: Axes, by_task: pd.DataFrame, shots: int) -> None:
    """Methods by tasks as numbers on colours, from 0.4 to 1."""
    import seaborn as sns

    sns.heatmap(by_task, annot=True, fmt=".2f", ax=ax, vmin=0.4, vmax=1, cmap="viridis", cbar=False)
    ax.set(xlabel="held-out task", ylabel="", title=f"Image AUROC on every task, K = {shots}")
    ax.tick_params(axis="y", rotation=0)


def _means_with_intervals(ax: Axes, methods: list[str], means: pd.DataFrame) -> None:
    """One point with an interval for each method and K; methods side by side, so that intervals do not overlap."""
    counts = sorted(means["K"].unique())
    for number, name in enumerate(methods):
        part = means[means["method"] == name].sort_values("K")
        x = np.searchsorted(counts, part["K"]) + 0.1 * (number - (len(methods) - 1) / 2)
        spread = [part["AUROC"] - part["low"], part["high"] - part["AUROC"]]
        sign, colour = SIGNS[number % len(SIGNS)], COLORS[number % len(COLORS)]
        ax.errorbar(x, part["AUROC"], spread, fmt=sign, ms=6, capsize=3, color=colour, label=name)
    ax.axhline(0.5, **CHANCE)
    ax.set(xticks=range(len(counts)), xlim=(-0.5, len(counts) - 0.5), ylabel="mean image AUROC")
    ax.set_xticklabels([f"K = {k}" for k in counts])
    ax.set_title("Mean over tasks, 95 % interval")
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
