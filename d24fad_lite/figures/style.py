"""One look for every plot of the series: colour-blind safe, readable on a projector and on a dark page."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's palette; normal is blue, anomalous vermilion, wherever the two classes meet.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
NORMAL, ANOMALOUS = COLORS[0], COLORS[1]
CARD, INK, SOFT_INK, GREY = "#fbfbf9", "#2b2d30", "#55585c", "#8a8d91"
CHANCE: dict[str, Any] = {"color": SOFT_INK, "linestyle": ":", "linewidth": 1.2}  # the line of chance, or of no change
MARGIN = 0.18  # inches of the card around everything drawn

RC: dict[str, Any] = {
    "figure.figsize": (7.2, 3.6),
    "figure.dpi": 80,
    "savefig.dpi": 110,
    "figure.constrained_layout.use": True,
    # An opaque light card with a margin: on a dark page axis labels would vanish on a transparent one. All colours are
    # named, ink with the ground, since an editor with a dark theme may have set matplotlib to light ink.
    "figure.facecolor": CARD,
    "figure.edgecolor": CARD,
    "axes.facecolor": CARD,
    "savefig.facecolor": CARD,
    "savefig.edgecolor": CARD,
    "savefig.transparent": False,
    "savefig.pad_inches": MARGIN,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": SOFT_INK,
    "patch.edgecolor": INK,
    "lines.color": COLORS[0],
    **{f"boxplot.{part}.color": INK for part in ("boxprops", "capprops", "flierprops", "whiskerprops")},
    "boxplot.flierprops.markeredgecolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddfe2",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


def settings() -> Any:
    """The series' matplotlib settings, `RC` and the colour cycle.

    The type is left open: matplotlib's stubs ask for a mapping whose keys are literally known.
    """
    from cycler import cycler

    return {**RC, "axes.prop_cycle": cycler(color=COLORS)}


def use_style() -> None:
    """Set the series' matplotlib defaults; the colour cycle is Okabe and Ito's."""
    import matplotlib as mpl

    mpl.rcParams.update(settings())
