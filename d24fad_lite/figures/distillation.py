"""Training by two losses: an episode, the losses over the epochs, which of them pulls, and levels compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from d24fad_lite.figures.arrays import as_array
from d24fad_lite.figures.card import new_figure, plain_picture
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, COLORS, NORMAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TSD, SSD = COLORS[0], COLORS[4]
BARS = ("#9aa0a6", COLORS[0], COLORS[4], COLORS[2])


def episode_figure(
    supports: Tensor, queries: Tensor, labels: Sequence[int] | np.ndarray, masks: Tensor | np.ndarray | None = None
) -> Figure:
    """K supports and some queries in one row, lesions outlined.

    Parameters
    ----------
    supports : float [K, 3, S, S], in 0..1
    queries : float [B, 3, S, S], in 0..1
    labels : int [B]
        Of the queries; 0 normal, 1 anomalous.
    masks : bool [B, S, S], optional
        Lesions of the queries.

    Returns
    -------
    matplotlib Figure
    """
    count = len(supports) + len(queries)
    with new_figure(1.5 * count, 2.0) as figure:
        axes = figure.subplots(1, count, squeeze=False)[0]
        for i, (ax, image) in enumerate(zip(axes, [*supports, *queries], strict=True)):
            plain_picture(ax, np.moveaxis(as_array(image), 0, -1))
            query = i - len(supports)
            name, color = (f"support {i + 1}", NORMAL) if query < 0 else ("query, normal", NORMAL)
            if query >= 0 and labels[query]:
                name, color = "query, anomalous", ANOMALOUS
            ax.set_title(name, fontsize=9, loc="center", color=color)
            if query >= 0 and masks is not None and as_array(masks[query]).any():
                ax.contour(as_array(masks[query]), [0.5], colors=COLORS[5], linewidths=1.3)
    return figure


def losses_figure(runs: Mapping[str, Any], start: Mapping[str, float] | None = None) -> Figure:
    """Both losses over the epochs, one panel per training, on one logarithmic scale.

    Parameters
    ----------
    runs : mapping of name to DataFrame
        As of `History.to_frame`, with the columns epoch, loss_tsd and loss_ssd.
    start : mapping of {"loss_tsd", "loss_ssd"} to float, optional
        The losses before training; then shares of them are drawn, from 1 at epoch 0.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(4.8 * len(runs), 3.2) as figure:
        axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
        for ax, (name, frame) in zip(axes, runs.items(), strict=True):
            for column, color, label in (("loss_tsd", TSD, "TSD"), ("loss_ssd", SSD, "SSD")):
                epochs, values = frame["epoch"].to_numpy(), frame[column].to_numpy()
                if start is not None:
                    epochs, values = np.append(0, epochs), np.append(1, values / start[column])
                ax.semilogy(epochs, values, color=color, label=label)
            ax.set(xlabel="epoch", title=name)
        axes[0].set_ylabel("loss" if start is None else "share of the untrained loss")
        axes[0].legend()
    return figure


def collapse_figure(pulls: Mapping[str, tuple[float, float]], paths: Mapping[str, np.ndarray]) -> Figure:
    """Why one of two losses falls first: how hard each one pulls at the start, and the way that training takes.

    Parameters
    ----------
    pulls : mapping of name to (TSD, SSD)
        Lengths of the two weighted gradients at the start of a training.
    paths : mapping of name to float [E + 1, 2]
        Shares of the untrained TSD and SSD that are left, from the start, where both are 1, epoch by epoch.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(10, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        at = np.arange(len(pulls))
        for i, (color, label) in enumerate(((TSD, "TSD"), (SSD, "SSD"))):
            values = [pull[i] for pull in pulls.values()]
            bars = left.bar(at + 0.36 * i - 0.18, values, 0.34, color=color, label=label)
            left.bar_label(bars, fmt="%.2g", fontsize=9)
        left.set(yscale="log", xticks=at, ylabel="length of the weighted gradient", title="What pulls at the start")
        left.set_xticklabels(list(pulls))
        left.margins(y=0.15)
        left.legend()
        _paths(right, paths)
    return figure


def _paths(ax: Axes, paths: Mapping[str, np.ndarray]) -> None:
    lowest = min(float(np.min(path)) for path in paths.values())
    ax.plot([1, lowest], [1, lowest], label="both fall alike", **CHANCE)
    for (name, path), color, marker in zip(paths.items(), (COLORS[1], COLORS[2], COLORS[3]), "osd", strict=False):
        ax.plot(path[:, 0], path[:, 1], color=color, marker=marker, markersize=4, linewidth=1.2, label=name)
    ax.plot(1, 1, "*", color=COLORS[6], markersize=12)
    ax.set(xscale="log", yscale="log", xlabel="share of TSD that is left", ylabel="share of SSD that is left")
    ax.set_title("The way down, epoch by epoch")
    shares = [share for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if share >= lowest / 1.5]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(shares, [f"{100 * share:g} %" for share in shares])
        axis.set_ticks([], minor=True)
    ax.legend(fontsize=9)


def level_bars_figure(panels: Mapping[str, Mapping[str, Sequence[float] | np.ndarray]], ylabel: str) -> Figure:
    """One value per level for several detectors, as grouped bars, in one panel or several on one scale.

    Parameters
    ----------
    panels : mapping of title to (mapping of detector to float [L])
        Fine to coarse.
    ylabel : str

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(max(5.0, 4.6 * len(panels)), 3.1) as figure:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (title, bars) in zip(axes, panels.items(), strict=True):
            width = 0.8 / len(bars)
            for i, ((name, values), color) in enumerate(zip(bars.items(), BARS, strict=False)):
                at = np.arange(len(values)) + (i - (len(bars) - 1) / 2) * width
                ax.bar(at, values, 0.92 * width, color=color, label=name)
                ax.set(xticks=range(len(values)), title=title)
                ax.set_xticklabels([f"level {level}" for level in range(1, len(values) + 1)])
        axes[0].set_ylabel(ylabel)
        axes[-1].legend(fontsize=9)
    return figure
