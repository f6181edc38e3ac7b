"""One task, evaluated: methods side by side, ROC curve and scores of one of them, and its worst errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from d24fad_lite.figures.card import left_title, new_figure, plain_picture
from d24fad_lite.figures.overlay import overlay, pixels
from d24fad_lite.figures.style import ANOMALOUS, CHANCE, GREY, NORMAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from d24fad_lite.evaluation.report import EvaluationReport


def methods_figure(reports: Mapping[str, EvaluationReport], title: str = "") -> Figure:
    """Image AUROC of several methods: every draw of supports as a dot, the mean with its 95 % interval.

    Parameters
    ----------
    reports : mapping of str to EvaluationReport
        Name of each method -> its report, drawn from top to bottom.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    with new_figure(7.2, 0.45 * len(reports) + 1.6) as figure:
        ax = figure.subplots()
        for y, report in enumerate(reports.values()):
            (low, high), first = report.ci, y == 0
            above = np.full(report.draws, y) + 0.24
            ax.plot(report.aurocs, above, ".", color=GREY, ms=6, label="one draw of supports" if first else None)
            spread = [[report.auroc - low], [high - report.auroc]]
            label = "mean, 95 % interval" if first else None
            ax.errorbar(report.auroc, y, xerr=spread, fmt="D", capsize=4, color=NORMAL, label=label)
        ax.axvline(0.5, label="chance", **CHANCE)
        ax.set(yticks=range(len(reports)), xlim=(0, 1.03), ylim=(len(reports) - 0.5, -0.5), xlabel="image AUROC")
        ax.set_yticklabels(list(reports))
        ax.set_title(title)
        ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def roc_figure(report: EvaluationReport, title: str = "") -> Figure:
    """ROC curve of every draw of supports, with their mean AUROC, beside the scores of normal and anomalous images.

    Parameters
    ----------
    report : EvaluationReport
        The histogram shows each test image's score as a mean over the draws.
    title : str, optional

    Returns
    -------
    matplotlib Figure
    """
    from sklearn.metrics import roc_curve

    low, high = report.ci
    with new_figure(9.6, 3.8) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.35]})
        for draw, scores in enumerate(report.scores):
            false_alarms, found, _ = roc_curve(report.labels, scores, drop_intermediate=False)
            label = f"{report.draws} draws, mean {report.auroc:.2f}\n[{low:.2f}, {high:.2f}]" if draw == 0 else None
            left.plot(false_alarms, found, color=NORMAL, lw=1.4, alpha=0.55, label=label)
        left.plot([0, 1], [0, 1], label="chance", **CHANCE)
        left.set(xlabel="false alarms (share of normal images)", ylabel="found (share of anomalous ones)")
        left.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        left.legend(fontsize=9, loc="lower right")
        left.set_title(f"ROC, K = {report.shots}")
        _score_histogram(right, report)
        left_title(figure, title)
    return figure


def _score_histogram(ax: Axes, report: EvaluationReport) -> None:
    """Scores of normal and anomalous test images in common bins, side by side."""
    from matplotlib.ticker import MaxNLocator

    scores = report.scores.mean(axis=0)
    parts = [scores[report.labels == label] for label in (0, 1)]
    bins = np.linspace(scores.min(), scores.max(), 18).tolist()
    ax.hist(parts, bins, color=[NORMAL, ANOMALOUS], label=["normal", "anomalous"])
    ax.set(xlabel=f"image score, mean over {report.draws} draws", ylabel="test images")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=9)
    ax.set_title("Scores")


def errors_figure(
    images: Tensor, maps: Tensor, captions: Sequence[str], labels: Sequence[int], masks: Tensor | None = None
) -> Figure:
    """Test images above their anomaly maps, with the lesion's outline and a caption each.

    One colour scale for all, from the median of the maps on: from their lowest value, each whole image would be red.

    Parameters
    ----------
    images : Tensor, float [N, 3, S, S] in 0..1
    maps : Tensor, float [N, S, S]
    captions : sequence of N str
    labels : sequence of N int
        0 normal, 1 anomalous: the caption's colour.
    masks : Tensor, bool [N, S, S], optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Not as many maps, captions or labels as images.
    """
    if not len(images) == len(maps) == len(captions) == len(labels):
        counts = f"{len(images)} images, {len(maps)} maps, {len(captions)} captions and {len(labels)} labels"
        raise ValueError(f"errors_figure() got {counts}; give one of each per image")
    limits = (float(maps.median()), float(maps.max()))
    with new_figure(1.5 * len(images), 3.7) as figure:
        axes = figure.subplots(2, len(images), squeeze=False)
        for i, (top, bottom) in enumerate(axes.T):
            mask = None if masks is None else masks[i]
            plain_picture(top, pixels(images[i]) if mask is None else overlay(images[i], None, limits, mask))
            plain_picture(bottom, overlay(images[i], maps[i], limits, mask))
            colour = ANOMALOUS if labels[i] else NORMAL
            top.set_title(captions[i], fontsize=10, loc="center", fontweight="normal", color=colour)
        axes[0, 0].set_ylabel("image", fontsize=10)
        axes[1, 0].set_ylabel("anomaly map", fontsize=10)
    return figure
