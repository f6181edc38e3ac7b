"""What a level of the teacher sees, and what its weights are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import CHANCE, COLORS, GREY, NORMAL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from d24fad_lite.evaluation.report import EvaluationReport

OF_TEACHERS = (NORMAL, COLORS[2], GREY, COLORS[3])


def by_level_figure(seen: Mapping[str, pd.DataFrame], levels: Sequence[str], title: str = "") -> Figure:
    """A line per task over the levels, fine to coarse; one panel per measure, with chance (0.5) dotted.

    Parameters
    ----------
    seen : mapping of str to DataFrame
        Name of a panel, for instance "image AUROC" -> one row per task, one column per level.
    levels : sequence of str
        What each column is called on the axis.
    title : str, optional
        Before the panels' names.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        No panel, or a table with another number of columns than `levels`.
    """
    if not seen or any(table.shape[1] != len(levels) for table in seen.values()):
        found = ", ".join(f"{name} {table.shape[1]}" for name, table in seen.items()) or "no panel"
        raise ValueError(f"by_level_figure() needs tables of {len(levels)} columns, one for each level, got {found}")
    with new_figure(4.9 * len(seen), 3.6) as figure:
        axes = np.atleast_1d(figure.subplots(1, len(seen), sharey=True))
        for ax, (name, table) in zip(axes, seen.items(), strict=True):
            for color, (task, values) in zip(COLORS, table.iterrows()):
                ax.plot(range(len(levels)), values, "o-", color=color, label=str(task))
            ax.axhline(0.5, **CHANCE)
            # Room beside the outer points, so that the labels of two panels do not touch.
            ax.set(xticks=range(len(levels)), xlim=(-0.45, len(levels) - 0.55))
            ax.set_xticklabels(levels, fontsize=9)
            ax.set_title(f"{title}{name}", fontsize=11)
        axes[0].set_ylim(0.2, 1.03)
        axes[0].legend(loc="lower left", fontsize=9, ncols=2)
    return figure


def teachers_figure(reports: Mapping[str, Sequence[EvaluationReport]], paired: pd.DataFrame) -> Figure:
    """Image AUROC of several teachers on the same tasks and draws, and the paired differences to the first one.

    Parameters
    ----------
    reports : mapping of str to sequence of EvaluationReport
        Name of a teacher -> its report on each task, in the same order.
    paired : DataFrame
        Columns task, against (the name of a teacher), difference, low, high: the first teacher minus that one.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        No reports, or teachers with reports on different tasks.
    """
    tasks = [[report.task for report in by_task] for by_task in reports.values()]
    if not tasks or any(names != tasks[0] for names in tasks):
        raise ValueError(f"teachers_figure() needs reports of every teacher on the same tasks, got {tasks}")
    colors = dict(zip(reports, OF_TEACHERS))
    with new_figure(9.6, 3.9) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
        _draws(left, reports, colors)
        _differences(right, paired, colors, tasks[0])
        for ax in (left, right):
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8.5)
    return figure


def _draws(ax: Axes, reports: Mapping[str, Sequence[EvaluationReport]], colors: Mapping[str, str]) -> None:
    """Every draw as a dot, the mean as a bar."""
    for offset, (name, by_task) in enumerate(reports.items()):
        place = np.arange(len(by_task)) + 0.26 * (offset - (len(reports) - 1) / 2)
        for x, report in zip(place, by_task):
            ax.plot(np.full(report.draws, x), report.aurocs, ".", color=colors[name], alpha=0.5)
        means = [report.auroc for report in by_task]
        label = f"{name}: mean {np.mean(means):.2f}"
        ax.plot(place, means, "_", ms=14, mew=3, color=colors[name], label=label)
    tasks = [report.task for report in next(iter(reports.values()))]
    first = next(iter(reports.values()))[0]
    ax.axhline(0.5, **CHANCE)
    ax.set(xticks=range(len(tasks)), ylabel="image AUROC", ylim=(0, 1.03))
    ax.set_xticklabels(tasks)
    ax.set_title(f"K = {first.shots}, {first.draws} draws (dots) and mean", fontsize=11)


def _differences(ax: Axes, paired: pd.DataFrame, colors: Mapping[str, str], tasks: Sequence[str]) -> None:
    """The first teacher minus each other one, with its interval; one line per task, the first task on top."""
    for offset, (other, part) in enumerate(paired.groupby("against", sort=False)):
        y = [len(tasks) - 1 - tasks.index(task) - 0.25 * offset for task in part["task"]]
        errors = [part["difference"] - part["low"], part["high"] - part["difference"]]
        ax.errorbar(
            part["difference"], y, xerr=errors, fmt="D", ms=5, color=colors[other], capsize=3, label=f"minus {other}"
        )
    ax.axvline(0, **CHANCE)
    ax.set(yticks=range(len(tasks)), xlabel="difference of AUROC")
    ax.set_yticklabels(list(tasks)[::-1])
    ax.set_title("Paired, 95 % interval", fontsize=11)
