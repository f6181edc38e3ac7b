"""Tables of lazy numbers frame what chance does not explain; teachers and levels are drawn with their own values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.figures.features import by_level_figure, teachers_figure
from d24fad_lite.figures.shortcuts import shortcuts_figure


def report(task: str, shift: float, seed: int = 0) -> EvaluationReport:
    labels = np.array([0, 1] * 8)
    scores = np.random.default_rng(seed).normal(size=(3, 16)) + shift * labels
    names, supports = [f"{i}.png" for i in range(16)], np.zeros((3, 2), int)
    return EvaluationReport(
        task, "m", "per-image", 2, 0, labels, names, [None] * 16, scores, supports, [["0" * 64] * 2] * 3
    )


def test_only_numbers_beyond_chance_are_framed() -> None:
    table = pd.DataFrame({"A": [0.5, 0.95], "B": [0.62, 0.3]}, index=["intensity", "bytes"])
    ax, bar = shortcuts_figure(table, band=0.15, title="Lazy").axes
    framed = {(round(p.get_x() + 0.47), round(p.get_y() + 0.46)) for p in ax.patches}
    assert framed == {(0, 1), (1, 1)}  # column, row of 0.95 and 0.30
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.62", "0.95", "0.30"]
    assert [line.get_ydata()[0] for line in bar.lines] == [0.35, 0.65]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["intensity", "bytes"]
    with pytest.raises(ValueError, match="empty table"):
        shortcuts_figure(pd.DataFrame(), band=0.1)


def test_every_task_is_a_line_over_the_levels() -> None:
    table = pd.DataFrame([[0.9, 0.8], [0.7, 0.6]], index=["A", "B"])
    left, right = by_level_figure({"image AUROC": table, "pixel AUROC": table / 2}, ["level 1", "level 2"]).axes
    np.testing.assert_allclose([line.get_ydata() for line in left.lines[:2]], table)
    np.testing.assert_allclose([line.get_ydata() for line in right.lines[:2]], table / 2)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["A", "B"]
    for wrong in ({}, {"image AUROC": table}):
        with pytest.raises(ValueError, match="columns, one for each level"):
            by_level_figure(wrong, ["level 1"])


def test_teachers_have_their_means_and_their_paired_intervals() -> None:
    reports = {"good": [report("A", 3), report("B", 2)], "poor": [report("A", 1, 1), report("B", 0, 1)]}
    paired = pd.DataFrame(
        {"task": ["A", "B"], "against": "poor", "difference": [0.1, 0.3], "low": [0.05, 0.1], "high": [0.2, 0.4]}
    )
    left, right = teachers_figure(reports, paired).axes
    means = [line.get_ydata() for line in left.lines if line.get_marker() == "_"]
    np.testing.assert_allclose(means, [[r.auroc for r in by_task] for by_task in reports.values()])
    dots = np.concatenate([line.get_ydata() for line in left.lines if line.get_marker() == "."])
    assert len(dots) == 12
    point, _caps, (bars,) = right.containers[0]
    np.testing.assert_allclose(point.get_xydata(), [[0.1, 1], [0.3, 0]])
    np.testing.assert_allclose([segment[:, 0] for segment in bars.get_segments()], [[0.05, 0.2], [0.1, 0.4]])
    assert [label.get_text() for label in right.get_yticklabels()] == ["B", "A"]
    with pytest.raises(ValueError, match="on the same tasks"):
        teachers_figure({"a": reports["good"], "b": reports["poor"][:1]}, paired)
