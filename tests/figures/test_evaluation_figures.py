"""Figures of one evaluated task hold the report's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import auc

from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.figures.evaluation import errors_figure, methods_figure, roc_figure
from d24fad_lite.figures.style import ANOMALOUS, NORMAL


def report(shift: float, draws: int = 3, seed: int = 0) -> EvaluationReport:
    labels = np.array([0, 1] * 8)
    scores = np.random.default_rng(seed).normal(size=(draws, 16)) + shift * labels
    names, supports = [f"{i}.png" for i in range(16)], np.zeros((draws, 2), int)
    hashes = [["0" * 64] * 2] * draws
    return EvaluationReport("T", "m", "per-image", 2, 0, labels, names, [None] * 16, scores, supports, hashes)


def test_each_method_has_its_draws_its_mean_and_its_interval() -> None:
    reports = {"good": report(2.0), "poor": report(0.0, seed=1)}
    (ax,) = methods_figure(reports, "T, K = 2").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["good", "poor"]
    for y, (one, container) in enumerate(zip(reports.values(), ax.containers, strict=True)):
        point, _caps, (bar,) = container
        assert point.get_xydata()[0] == pytest.approx([one.auroc, y])
        assert bar.get_segments()[0][:, 0] == pytest.approx(one.ci)
    dots = [line for line in ax.lines if line.get_marker() == "."]
    np.testing.assert_allclose(np.sort(dots[1].get_xdata()), np.sort(reports["poor"].aurocs))


def test_the_area_under_each_drawn_curve_is_its_auroc_and_the_histogram_counts_every_image() -> None:
    one = report(1.0)
    left, right = roc_figure(one).axes
    curves = [line for line in left.lines if line.get_linestyle() == "-"]
    areas = [auc(line.get_xdata(), line.get_ydata()) for line in curves]
    np.testing.assert_allclose(areas, one.aurocs)
    assert f"{one.auroc:.2f}" in left.get_legend().get_texts()[0].get_text()
    assert sum(patch.get_height() for patch in right.patches) == 16
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["normal", "anomalous"]


def test_errors_share_a_colour_scale_and_captions_carry_their_class() -> None:
    images = torch.full((2, 3, 16, 16), 0.5)
    maps = torch.stack([torch.zeros(16, 16), torch.ones(16, 16)])
    figure = errors_figure(images, maps, ["high", "low"], [0, 1])
    top = figure.axes[:2]
    assert [ax.get_title() for ax in top] == ["high", "low"]
    assert [ax.title.get_color() for ax in top] == [NORMAL, ANOMALOUS]
    dark, lit = (ax.images[0].get_array() for ax in figure.axes[2:])
    assert np.ptp(dark, axis=2).max() < 3 and np.ptp(lit, axis=2).min() > 50  # grey where the map is lowest of all


def test_the_lower_half_of_all_values_is_not_painted() -> None:
    rising = torch.linspace(0, 1, 256).reshape(1, 16, 16)
    picture = np.asarray(
        errors_figure(torch.full((1, 3, 16, 16), 0.5), rising, ["one"], [1]).axes[1].images[0].get_array()
    )
    colour = np.ptp(picture.astype(int), axis=2)  # 0 is grey
    assert colour[:8].max() < 3 and colour[12:].min() > 20


def test_missing_captions_are_counted() -> None:
    with pytest.raises(ValueError, match="2 images, 2 maps, 1 captions and 2 labels"):
        errors_figure(torch.zeros(2, 3, 16, 16), torch.zeros(2, 16, 16), ["one"], [0, 1])
