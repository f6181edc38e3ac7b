"""Scores and AUROCs as points on a line: new images beside normal ones, suggestions beside random draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, COLORS, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALE = "#b9bec4"  # of the many random sets behind the few suggested ones


def score_strips_figure(
    groups: Mapping[str, np.ndarray], threshold: float | None = None, label: str = "threshold", title: str = ""
) -> Figure:
    """Scores of several groups of images, one strip each; those above a threshold in the colour of an alarm.

    Parameters
    ----------
    groups : mapping of str to float [n]
        Name -> scores; the first group is drawn as the one to compare with.
    threshold : float, optional
        Scores above it are alarms.
    label : str
        What the threshold is, default "threshold".
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    rng = np.random.default_rng(0)
    with new_figure(8.6, 0.75 * len(groups) + 1.5) as figure:
        ax = figure.subplots()
        for y, scores in enumerate(groups.values()):
            alarm = scores > threshold if threshold is not None else np.zeros(len(scores), bool)
            height = y + rng.uniform(-0.2, 0.2, len(scores))
            ax.plot(scores[~alarm], height[~alarm], "o", color=INK if y else COLORS[0], alpha=0.7, ms=7)
            ax.plot(scores[alarm], height[alarm], "o", color=ANOMALOUS, alpha=0.9, ms=8)
        if threshold is not None:
            ax.axvline(threshold, color=ANOMALOUS, lw=1.8, label=label)
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
        ax.set(yticks=range(len(groups)), xlabel="image score", ylim=(len(groups) - 0.5, -0.5))
        ax.set_yticklabels(list(groups))
        ax.set_title(title)
        ax.grid(axis="y", visible=False)
    return figure


def lottery_figure(
    drawn: Mapping[str, np.ndarray], suggested: Mapping[str, Mapping[str, float]], title: str = ""
) -> Figure:
    """AUROC of random sets of supports as grey dots, with that of each suggested set below them.

    Parameters
    ----------
    drawn : mapping of str to float [R]
        Name of a row, for instance of a reading and K -> AUROC of each random set.
    suggested : mapping of str to mapping
        Name of a row -> name of a suggestion -> its AUROC.
    title : str, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Suggestions for a row that is not drawn.
    """
    if unknown := [name for name in suggested if name not in drawn]:
        raise ValueError(f"lottery_figure() got suggestions for {', '.join(unknown)}, and no random sets for them")
    rng = np.random.default_rng(0)
    with new_figure(8.6, 0.95 * len(drawn) + 1.0) as figure:
        ax = figure.subplots()
        for y, (row, values) in enumerate(drawn.items()):
            label = None if y else f"{len(values)} random sets"
            ax.plot(values, y + rng.uniform(-0.15, 0.15, len(values)), "o", color=PALE, ms=5, label=label)
            for k, (name, value) in enumerate(suggested.get(row, {}).items()):
                place = y + 0.24 + 0.055 * k
                ax.plot(value, place, "D", color=COLORS[k % len(COLORS)], ms=6, label=None if y else name)
        ax.axvline(0.5, **CHANCE)
        ax.set(yticks=range(len(drawn)), xlabel="image AUROC", ylim=(len(drawn) - 0.2, -0.4))
        ax.set_yticklabels(list(drawn))
        ax.set_title(title)
        ax.grid(axis="y", visible=False)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure
