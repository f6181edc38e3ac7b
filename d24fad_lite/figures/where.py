"""Where the map is high: peaks, overlap with lesions, the lit border; and a threshold with what it promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from d24fad_lite.evaluation.uncertainty.thresholds import Threshold, false_alarm_interval, images_needed
from d24fad_lite.figures.arrays import as_array
from d24fad_lite.figures.card import new_figure, plain_picture
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, COLORS, GREY, INK, NORMAL, SOFT_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def peaks_figure(
    maps: Mapping[str, Tensor | np.ndarray],
    labels: Sequence[int] | np.ndarray,
    ground: Tensor | np.ndarray,
    on_lesion: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Where the maps are highest: one dot per image, filled where it lies on a lesion; one picture per kind of map.

    Parameters
    ----------
    maps : mapping of name to float [N, S, S]
    labels : int [N]
        0 normal, 1 anomalous.
    ground : float [S, S], in 0..1
        A grey picture behind the dots, such as the mean of the normal images.
    on_lesion : mapping of name to bool [N], optional
        Which peaks lie on a lesion.

    Returns
    -------
    matplotlib Figure
    """
    kinds = as_array(labels)
    with new_figure(4.0 * len(maps), 4.4) as figure:
        for ax, (title, values) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
            flat = as_array(values).reshape(len(values), -1)
            rows, columns = np.unravel_index(flat.argmax(axis=1), values.shape[1:])
            hit = np.zeros(len(kinds), bool) if on_lesion is None else as_array(on_lesion[title], bool)
            plain_picture(ax, as_array(ground))
            ax.images[0].set(cmap="gray", alpha=0.55, clim=(0, 1))
            for kind, color, word in ((0, NORMAL, "normal"), (1, ANOMALOUS, "anomalous")):
                open_dots, filled = (kinds == kind) & ~hit, (kinds == kind) & hit
                for some, face, name in ((open_dots, "none", word), (filled, color, f"{word}, on a lesion")):
                    if some.any():
                        ax.plot(columns[some], rows[some], "o", mfc=face, color=color, ms=8, mew=1.8, label=name)
            ax.set(title=title, xlim=(-3, values.shape[2] + 2), ylim=(values.shape[1] + 2, -3))
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=9)
    return figure


def overlap_figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], limit: float = 0.3) -> Figure:
    """Mean share of each lesion above the threshold, over the share of normal pixels above it; AUPRO's part shaded.

    Parameters
    ----------
    curves : mapping of name to (x, y), float [T] each
        False-positive rate, rising, and per-region overlap, both in 0..1.
    limit : float, default 0.3
        False-positive rate up to which AUPRO counts.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(6.4, 3.4) as figure:
        ax = figure.subplots()
        for (name, (x, y)), color in zip(curves.items(), (COLORS[1], COLORS[0], *COLORS[2:]), strict=False):
            ax.plot(x, y, color=color, label=name)
            counted = np.append(x[x <= limit], limit)
            ax.fill_between(counted, np.interp(counted, x, y), color=color, alpha=0.15, linewidth=0)
        ax.plot([0, 1], [0, 1], label="chance", **CHANCE)
        ax.set(xlabel="share of normal pixels above the threshold", xlim=(0, 1), ylim=(0, 1.02))
        ax.set(ylabel="mean share of each lesion", title="AUPRO counts the left end (shaded)")
        ax.legend(loc="lower right")
    return figure


def mean_maps_figure(maps: Mapping[str, Tensor | np.ndarray], notes: Mapping[str, str], columns: int = 3) -> Figure:
    """Maps side by side, each on its own scale, with a name above and a note below.

    Parameters
    ----------
    maps : mapping of name to float [S, S]
    notes : mapping of name to str
    columns : int, default 3

    Returns
    -------
    matplotlib Figure
    """
    rows = -(-len(maps) // columns)
    with new_figure(2.35 * columns, 2.95 * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (name, values) in zip(axes, maps.items(), strict=False):
            plain_picture(ax, as_array(values))
            ax.images[0].set_cmap("magma")
            ax.set_title(name, fontsize=10, loc="center", fontweight="normal")
            ax.set_xlabel(notes[name], fontsize=10)
        for ax in axes[len(maps) :]:
            ax.set_axis_off()
    return figure


def threshold_figure(
    scores: Mapping[str, np.ndarray], calibration: int, alpha: float, threshold: Threshold | None = None
) -> Figure:
    """Scores beside a threshold, and where the false-alarm rate of one threshold may lie.

    Parameters
    ----------
    scores : mapping of name to float [n]
        Three groups: the calibration images, normal test images, anomalous test images.
    calibration : int
        Number of calibration images.
    alpha : float in 0..1
        Share of false alarms that is promised, on average.
    threshold : Threshold, optional
        Drawn where there is one.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(10, 3.5) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
        rng = np.random.default_rng(0)
        for y, (values, color) in enumerate(zip(scores.values(), (GREY, NORMAL, ANOMALOUS), strict=True)):
            left.plot(values, y + rng.uniform(-0.22, 0.22, len(values)), "o", color=color, alpha=0.75, markersize=6)
        if threshold is not None:
            left.axvline(threshold.value, color=INK, linewidth=1.8)
            left.set_title(f"Threshold for at most {100 * alpha:g} % false alarms")
        left.set(yticks=range(len(scores)), xlabel="image score", ylim=(len(scores) - 0.5, -0.5))
        left.set_yticklabels(list(scores))
        left.grid(axis="y", visible=False)
        _promise(right, calibration, alpha)
    return figure


def _promise(ax: Axes, calibration: int, alpha: float) -> None:
    """The band of false-alarm rates over the number of calibration images."""
    counts = np.unique(np.geomspace(images_needed(alpha), 500, 40).astype(int))
    low, high = np.transpose([false_alarm_interval(int(count), alpha) for count in counts])
    ax.fill_between(counts, 100 * low, 100 * high, color=COLORS[0], alpha=0.25, lw=0, label="95 % of thresholds")
    ax.axhline(100 * alpha, color=COLORS[0], label="promised, on average")
    ax.axvline(calibration, color=SOFT_INK, linestyle=":", linewidth=1.4, label=f"here: {calibration} images")
    ax.set(xscale="log", xlabel="normal images for calibration", ylabel="false alarms, %", ylim=(0, None))
    ax.set_title("How sure is the promise?")
    ax.legend(fontsize=9)
