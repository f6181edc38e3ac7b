"""One network under an honest and a leaking protocol: per task, in company, on tossed labels, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, INK, NORMAL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HONEST, LEAKING = NORMAL, ANOMALOUS
PROTOCOLS = {
    "per-image": ("each image by itself", HONEST, "o"),
    "official": ("blurred across a class-sorted batch (LEAK)", LEAKING, "s"),
}


def protocols_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """Image AUROC of one scorer on several tasks, by both protocols, with intervals.

    Parameters
    ----------
    table : DataFrame
        Columns task, protocol ("per-image" or "official"), AUROC, low and high.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    tasks = list(table["task"].unique())
    with new_figure(8.5, 3.6) as figure:
        ax = figure.subplots()
        for (protocol, (label, color, mark)), aside in zip(PROTOCOLS.items(), (-0.11, 0.11), strict=True):
            part = table[table["protocol"] == protocol]
            x = [tasks.index(task) + aside for task in part["task"]]
            spread = [part["AUROC"] - part["low"], part["high"] - part["AUROC"]]
            ax.errorbar(x, part["AUROC"], spread, fmt=mark, color=color, capsize=4, label=label)
        ax.axhline(0.5, **CHANCE)
        ax.set(ylim=(0, 1.04), ylabel="image AUROC", title=title)
        ax.set_xticks(range(len(tasks)), tasks)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure


def company_figure(scores: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]) -> Figure:
    """Scores of the same normal and anomalous images in different company, one panel per way of scoring.

    Parameters
    ----------
    scores : mapping of str to mapping of str to (float [n], float [m])
        Way of scoring -> company, as it stands below the axis -> scores of the normal and of the anomalous images.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(9.6, 3.5) as figure:
        axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
        for ax, (title, by_company) in zip(axes, scores.items(), strict=True):
            for x, groups in enumerate(by_company.values()):
                for values, color, name in zip(groups, (NORMAL, ANOMALOUS), ("normal image", "anomalous image")):
                    place = np.full(len(values), x + (0.12 if color == ANOMALOUS else -0.12))
                    ax.plot(place, values, "o", color=color, alpha=0.75, label=None if x else name)
            ax.set_xticks(range(len(by_company)), list(by_company))
            ax.set(title=title, xlim=(-0.5, len(by_company) - 0.5))
        axes[0].set_ylabel("image score")
        axes[0].legend(fontsize=9)
    return figure


def tossed_labels_figure(aurocs: Mapping[str, Sequence[float] | np.ndarray], title: str = "") -> Figure:
    """Distributions of AUROC where labels were tossed, so that there is nothing to find.

    Parameters
    ----------
    aurocs : mapping of str to float [T]
        Way of scoring, the honest one first and then the leaking one -> AUROC of each toss.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    tosses = len(next(iter(aurocs.values())))
    with new_figure(8.5, 3.4) as figure:
        ax = figure.subplots()
        for (name, values), color in zip(aurocs.items(), (HONEST, LEAKING), strict=True):
            ax.hist(values, bins=np.linspace(0, 1, 26).tolist(), color=color, alpha=0.65, label=name)
        ax.set(xlabel="image AUROC of tossed labels", ylabel=f"of {tosses} tosses", title=title)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def readings_figure(curves: pd.DataFrame, readings: pd.DataFrame, title: str = "") -> Figure:
    """Image AUROC of every epoch of several trainings by both protocols, and what the ways of reading them report.

    Parameters
    ----------
    curves : DataFrame
        As of `OptimismReport.curve_frame`, with a column seed: seed, epoch, "per image", "official". The best epoch
        of each line has a ring.
    readings : DataFrame
        As of `OptimismReport.to_frame`, with a column seed: seed, reading, honest ("yes" or not), AUROC, low, high.
        A dotted line marks the mean of the first reading.
    title : str, optional
        Of the left panel.

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(11.5, 3.9) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
        for column, color, mark in (("per image", HONEST, "o"), ("official", LEAKING, "s")):
            for number, (_, part) in enumerate(curves.groupby("seed", sort=False)):
                label = None if number else column
                left.plot(part["epoch"], part[column], f"{mark}-", ms=3.5, lw=1.3, color=color, label=label)
                best = part.loc[part[column].idxmax()]
                left.plot(best["epoch"], best[column], "o", ms=13, mew=1.6, mfc="none", color=color)
        left.plot([], [], "o", ms=11, mfc="none", color=INK, label="best epoch of a run")
        left.axhline(0.5, **CHANCE)
        left.set(xlabel="epoch", ylabel="image AUROC", title=title)
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
        _intervals(right, readings)
    return figure


def _intervals(ax: Axes, readings: pd.DataFrame) -> None:
    """A row per reading, a line per run in it; what the test set chose or leaked into is crossed out."""
    names = list(readings["reading"].unique())
    seeds = list(readings["seed"].unique())
    for reading, honest, seed, auroc, low, high in readings[
        ["reading", "honest", "seed", "AUROC", "low", "high"]
    ].itertuples(index=False):
        y = names.index(reading) + 0.24 * (seeds.index(seed) - (len(seeds) - 1) / 2)
        color, mark = (HONEST, "o") if honest == "yes" else (LEAKING, "X")
        ax.errorbar(auroc, y, xerr=[[auroc - low], [high - auroc]], fmt=mark, ms=6.5, lw=1.4, capsize=2, color=color)
    ax.axvline(readings.loc[readings["reading"] == names[0], "AUROC"].mean(), color=HONEST, ls=":", lw=1.2)
    ax.set_yticks(range(len(names)), [name.replace(", ", ",\n", 1) for name in names], fontsize=9)
    ax.set(xlim=(0, 1.02), ylim=(len(names) - 0.5, -0.5), xlabel="image AUROC, 95 % interval")
    ax.set_title(f"{len(names)} readings of {len(seeds)} run{'s' * (len(seeds) != 1)}")
