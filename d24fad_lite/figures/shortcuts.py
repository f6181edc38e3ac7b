"""What a lazy model could read: the AUROC of numbers that know no disease, task by task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.figures.card import new_figure
from d24fad_lite.figures.style import INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def shortcuts_figure(aurocs: pd.DataFrame, band: float, title: str = "") -> Figure:
    """A table of AUROCs as colours; what lies farther from 0.5 than chance explains is framed and bold.

    Parameters
    ----------
    aurocs : DataFrame, float in 0..1
        One row per number that is measured, one column per task, as `d2.image_auroc` gives them.
    band : float
        How far from 0.5 chance reaches; marked on the colour bar too.
    title : str, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        An empty table.
    """
    from matplotlib.patches import Rectangle

    values = aurocs.to_numpy(dtype=float)
    if values.size == 0:
        raise ValueError("shortcuts_figure() got an empty table; give one row per number and one column per task")
    rows, columns = values.shape
    with new_figure(1.3 * columns + 2.2, 0.42 * rows + 1.2) as figure:
        ax = figure.subplots()
        shown = ax.imshow(values, cmap="PuOr", vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            beyond = abs(value - 0.5) > band
            ink, weight = "white" if abs(value - 0.5) > 0.3 else INK, "bold" if beyond else "normal"
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=10, color=ink, fontweight=weight)
            if beyond:
                ax.add_patch(Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, fill=False, edgecolor="#000000", lw=2))
        ax.set(xticks=range(columns), yticks=range(rows))
        ax.set_xticklabels([str(name) for name in aurocs.columns], color=INK)
        ax.set_yticklabels([str(name) for name in aurocs.index], color=INK)
        ax.grid(False)
        ax.set_title(title, fontsize=12)
        bar = figure.colorbar(shown, ax=ax)
        bar.set_label("AUROC (framed: beyond chance)", color=INK)
        for edge in (0.5 - band, 0.5 + band):
            bar.ax.axhline(edge, color="#000000", lw=2)
    return figure
