"""The picture of a benchmark holds the numbers of its tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from d24fad_lite.figures.benchmark import benchmark_figure

TASKS = ["APTOS", "RSNA", "LAG"]


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    by_task = pd.DataFrame([[0.9, 0.8, 0.7], [0.6, 0.5, 0.55]], index=["good", "poor"], columns=TASKS)
    rows = [(m, k, a + k / 100) for m, a in (("good", 0.8), ("poor", 0.55)) for k in (8, 2)]  # K out of order
    means = pd.DataFrame(rows, columns=["method", "K", "AUROC"])
    return by_task, means.assign(low=means["AUROC"] - 0.05, high=means["AUROC"] + 0.02)


def test_each_task_and_each_mean_stands_where_it_belongs() -> None:
    by_task, means = frames()
    left, right, *_ = benchmark_figure(by_task, means, shots=4).axes
    assert [text.get_text() for text in left.texts] == ["0.90", "0.80", "0.70", "0.60", "0.50", "0.55"]
    assert [label.get_text() for label in left.get_xticklabels()] == TASKS and "K = 4" in left.get_title(loc="left")
    assert [label.get_text() for label in right.get_xticklabels()] == ["K = 2", "K = 8"]
    for container, values in zip(right.containers, ([0.82, 0.88], [0.57, 0.63]), strict=True):
        points, _caps, (bars,) = container
        np.testing.assert_allclose(points.get_ydata(orig=False), values)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, np.add.outer(values, [-0.05, 0.02]))
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["good", "poor"]


def test_a_method_without_means_is_refused() -> None:
    by_task, means = frames()
    with pytest.raises(ValueError, match="no means for poor"):
        benchmark_figure(by_task, means[means["method"] == "good"], shots=4)
