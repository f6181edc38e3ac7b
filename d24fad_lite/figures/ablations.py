"""An ablation in pictures: seeds beside terms, a grid of cells, pairs with intervals, steps, the winner's curse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, COLORS, GREY, INK, NORMAL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from d24fad_lite.evaluation.uncertainty.paired import PairedComparison

OF_TASKS = (("o", COLORS[0]), ("s", COLORS[2]), ("D", COLORS[3]), ("^", COLORS[4]), ("v", COLORS[5]))
OF_HALVES = (
    (GREY, "o", "mean of all cells"),
    (ANOMALOUS, "^", "best cell, where it was chosen"),
    (NORMAL, "v", "that cell, on the other half"),
)
BLIND = "tsd"  # the map of this residual sees no support


def terms_figure(curve: pd.DataFrame, spread: pd.DataFrame, title: str = "") -> Figure:
    """Both losses of several trainings, epoch by epoch, beside the image AUROC of each on the tasks left out.

    Parameters
    ----------
    curve : DataFrame
        Columns terms, seed, epoch, loss_tsd and loss_ssd. Lines of the first seed are solid, those of others dotted.
    spread : DataFrame
        Columns terms, seed, task and AUROC; one line on the right for each training, in this order.
    title : str, optional
        Of the right panel.

    Returns
    -------
    matplotlib Figure
    """
    colors = dict(zip(curve["terms"].unique(), COLORS))
    first_seed = curve["seed"].iloc[0]
    with new_figure(12, 3.6) as figure:
        tsd, ssd, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.2])
        for ax, name in ((tsd, "TSD"), (ssd, "SSD")):
            for (terms, seed), part in curve.groupby(["terms", "seed"], sort=False):
                line = "o-" if seed == first_seed else "o:"
                label = f"{terms}, seed {seed}"
                ax.plot(part["epoch"], part[f"loss_{name.lower()}"], line, ms=4, color=colors[terms], label=label)
            ax.set(xlabel="epoch", ylim=(0, None), title=f"{name} in training")
        tsd.legend(fontsize=8.5)
        trainings = list(dict.fromkeys(zip(spread["terms"], spread["seed"])))
        for aside, (task, part), (mark, color) in zip(
            _beside(spread["task"].nunique()), spread.groupby("task", sort=False), OF_TASKS
        ):
            rows = [trainings.index(training) + aside for training in zip(part["terms"], part["seed"])]
            right.plot(part["AUROC"], rows, mark, ms=8, color=color, label=task)
        right.axvline(0.5, **CHANCE)
        right.set(xlabel="image AUROC, its own map", ylim=(len(trainings) - 0.5, -0.5), title=title)
        right.set_yticks(range(len(trainings)), [f"{terms}, seed {seed}" for terms, seed in trainings])
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def _beside(tasks: int) -> list[float]:
    """How far above or below its row each task is drawn, so that none covers another."""
    return [0.4 * (number - (tasks - 1) / 2) / max(1, tasks - 1) for number in range(tasks)]


def grid_figure(cells: pd.DataFrame, title: str = "") -> Figure:
    """A grid of AUROCs as numbers on colours, whose two hues are the two sides of chance.

    Parameters
    ----------
    cells : DataFrame, float in 0..1
        Rows (terms of the training, map, score), columns (weighting, K). A row of the map "tsd" sees no support, so it
        gets one number for all columns.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    values = cells.to_numpy(dtype=float)
    reach = max(0.1, float(np.abs(values - 0.5).max()))
    with new_figure(9.6, 0.34 * len(values) + 1.3) as figure:
        ax = figure.subplots()
        shown = ax.imshow(values, cmap="PuOr_r", vmin=0.5 - reach, vmax=0.5 + reach, aspect="auto")
        _numbers(ax, cells, reach)
        weightings = [weighting for weighting, _ in cells.columns]
        middles = {start + count // 2 for start, count in _blocks(weightings)}
        names = [f"K={k}\n{kind if i in middles else ''}" for i, (kind, k) in enumerate(cells.columns)]
        ax.set_xticks(range(values.shape[1]), names, fontsize=9)
        ax.set_yticks(range(len(values)), [f"{source}, {score}" for _, source, score in cells.index], fontsize=9)
        for start, _ in _blocks(weightings)[1:]:
            ax.axvline(start - 0.5, color=INK, lw=1.5)
        _names_of_trainings(ax, [terms for terms, _, _ in cells.index])
        ax.set(xlabel="weighting of the supports, and K")
        ax.set_title(title, fontsize=11)
        ax.grid(False)
        figure.colorbar(shown, ax=ax, shrink=0.6, label="image AUROC (0.5: chance)")
    return figure


def _blocks(names: list[str]) -> list[tuple[int, int]]:
    """Start and length of each name's block; equal names stand together."""
    return [(names.index(name), names.count(name)) for name in dict.fromkeys(names)]


def _numbers(ax: Axes, cells: pd.DataFrame, reach: float) -> None:
    """The value of each cell; once, within a block near the middle, where a row is the same for all supports."""
    blocks = _blocks([weighting for weighting, _ in cells.columns])
    start, count = blocks[(len(blocks) - 1) // 2]
    middle = start + (count - 1) / 2
    for row, ((_, source, _), values) in enumerate(zip(cells.index, cells.to_numpy(dtype=float))):
        written: list[tuple[float, float, str]] = [(column, value, "") for column, value in enumerate(values)]
        if source == BLIND:
            written = [(middle, values[0], " (sees no support)")]
        for column, value, note in written:
            color = "white" if abs(value - 0.5) > 0.6 * reach else INK
            ax.text(column, row, f"{value:.2f}{note}", ha="center", va="center", fontsize=9, color=color)


def _names_of_trainings(ax: Axes, terms: list[str]) -> None:
    """What the model was trained with, upright beside its rows, and a line between two models."""
    for start, count in _blocks(terms):
        middle = start + (count - 1) / 2
        ax.annotate(
            f"trained with\n{terms[start]}",
            (0, middle),
            xytext=(-78, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="center",
            fontweight="bold",
        )
        if start:
            ax.axhline(start - 0.5, color=INK, lw=1.5)


def pairs_figure(pairs: Mapping[tuple[str, str], PairedComparison], title: str = "") -> Figure:
    """Differences of two methods with their intervals; hollow and pale where the interval holds zero.

    Parameters
    ----------
    pairs : mapping of (str, str) to PairedComparison
        (What is compared, task) -> as `d2.compare_paired` gives it.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    names = list(dict.fromkeys(name for name, _ in pairs))
    tasks = list(dict.fromkeys(task for _, task in pairs))
    with new_figure(8.8, 0.38 * len(names) + 1.4) as figure:
        ax = figure.subplots()
        for aside, task, (mark, color) in zip(_beside(len(tasks)), tasks, OF_TASKS):
            ax.plot([], [], mark, color=color, ms=7, label=task)
            for y, name in enumerate(names):
                pair, at = pairs[name, task], y + aside
                clear = pair.low > 0 or pair.high < 0
                ax.plot([pair.low, pair.high], [at, at], color=color, lw=2.2, alpha=1 if clear else 0.45)
                ax.plot(pair.difference, at, mark, color=color, mfc=color if clear else "white", ms=7)
        ax.axvline(0, color=INK, lw=1.2)
        ax.set(xlabel="difference of image AUROC, 95 % interval (hollow: holds zero)", ylim=(len(names) - 0.5, -0.5))
        ax.set_yticks(range(len(names)), names)
        ax.set_title(title)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def steps_figure(ladder: pd.DataFrame, title: str = "") -> Figure:
    """What each of several steps, one on top of the other, does to several measures; a line per task.

    Parameters
    ----------
    ladder : DataFrame
        Columns step, task, and one per measure (a panel each), such as "image AUROC"; steps in their order.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    measures = [column for column in ladder.columns if column not in ("step", "task")]
    steps = list(ladder["step"].unique())
    with new_figure(3.7 * len(measures) + 3, 0.36 * len(steps) + 1.3) as figure:
        axes = figure.subplots(1, len(measures), sharex=True, sharey=True, squeeze=False)[0]
        for ax, measure in zip(axes, measures, strict=True):
            for (task, part), (mark, color) in zip(ladder.groupby("task", sort=False), OF_TASKS):
                rows = [steps.index(step) for step in part["step"]]
                ax.plot(part[measure], rows, f"{mark}-", lw=1.2, color=color, label=task)
            ax.set(xlabel=measure, ylim=(len(steps) - 0.5, -0.5))
        axes[0].set_yticks(range(len(steps)), steps)
        axes[0].set_title(title)
        axes[-1].legend(loc="best")
    return figure


def winners_curse_figure(luck: Mapping[str, tuple[float, float, float]], grid: pd.DataFrame) -> Figure:
    """What the best of many cells loses on images that did not choose it; with two tasks, every cell on both.

    Parameters
    ----------
    luck : mapping of str to (float, float, float)
        Task -> mean AUROC of all cells, that of the best cell where it was chosen, and on the other half.
    grid : DataFrame
        Columns task, AUROC, terms (of the training, a colour each), and those that name a cell.

    Returns
    -------
    matplotlib Figure
    """
    both = len(luck) == 2
    with new_figure(10 if both else 4.6, 3.9) as figure:
        axes = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
        for x, (mean, best, held_out) in enumerate(luck.values()):
            axes[0].plot([x, x], [best, held_out], color=INK, lw=1)
            for value, (color, mark, label) in zip((mean, best, held_out), OF_HALVES):
                axes[0].plot(x, value, mark, color=color, ms=9, label=None if x else label)
        axes[0].set(xlim=(-0.6, len(luck) - 0.4), ylabel="image AUROC", title="The winner's curse")
        axes[0].set_xticks(range(len(luck)), list(luck))
        if both:
            _both_tasks(axes[1], grid)
        axes[0].legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def _both_tasks(ax: Axes, grid: pd.DataFrame) -> None:
    """A dot per cell: its AUROC on one task against that on the other."""
    cell = [column for column in grid.columns if column not in ("task", "AUROC")]
    aurocs = grid.pivot_table(index=cell, columns="task", values="AUROC", sort=False)
    for color, (terms, part) in zip(COLORS, aurocs.groupby(level="terms", sort=False)):
        ax.plot(part.iloc[:, 0], part.iloc[:, 1], "o", color=color, alpha=0.55, ms=6, label=terms)
    first, second = aurocs.columns
    ax.set(xlabel=f"AUROC on {first}", ylabel=f"AUROC on {second}", title="Does a good cell stay good?")
    ax.legend(title="trained with", fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
