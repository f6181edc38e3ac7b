"""An honest and a leaking protocol stand side by side, blue and vermilion, and nothing of a run is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from d24fad_lite.figures.protocols import (
    HONEST,
    LEAKING,
    company_figure,
    protocols_figure,
    readings_figure,
    tossed_labels_figure,
)


def names(labels: list) -> list[str]:
    return [label.get_text() for label in labels]


def test_each_task_has_both_protocols_with_their_intervals() -> None:
    rows = [("A", "per-image", 0.6, 0.5, 0.8), ("A", "official", 0.9, 0.8, 1.0), ("B", "per-image", 0.5, 0.3, 0.6)]
    rows.append(("B", "official", 0.4, 0.1, 0.7))
    (ax,) = protocols_figure(pd.DataFrame(rows, columns=["task", "protocol", "AUROC", "low", "high"])).axes
    honest, leaking = ax.containers
    for bars, values, reach, color in (
        (honest, [0.6, 0.5], [[0.5, 0.8], [0.3, 0.6]], HONEST),
        (leaking, [0.9, 0.4], [[0.8, 1.0], [0.1, 0.7]], LEAKING),
    ):
        assert list(bars.lines[0].get_ydata()) == values and bars.lines[0].get_color() == color
        drawn = [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
        assert drawn == [pytest.approx(interval) for interval in reach]
        assert [round(x) for x in bars.lines[0].get_xdata()] == [0, 1]
    assert (honest.lines[0].get_xdata() < leaking.lines[0].get_xdata()).all()
    assert names(ax.get_xticklabels()) == ["A", "B"] and "LEAK" in ax.get_legend().get_texts()[1].get_text()


def test_the_same_images_stand_in_each_company() -> None:
    scores = {
        "alone": {"normal": ([1.0, 2.0], [3.0]), "bad": ([1.0, 2.0], [3.0])},
        "batch": {"normal": ([1.0, 1.1], [1.2]), "bad": ([2.0, 2.1], [2.2])},
    }
    for ax, (way, by_company) in zip(company_figure(scores).axes, scores.items(), strict=True):
        assert ax.get_title("left") == way and names(ax.get_xticklabels()) == ["normal", "bad"]
        expected = [(x, list(group)) for x, groups in enumerate(by_company.values()) for group in groups]
        drawn = [(int(np.round(line.get_xdata()[0])), list(line.get_ydata())) for line in ax.lines]
        assert drawn == expected
        assert [line.get_color() for line in ax.lines] == [HONEST, LEAKING] * 2


def test_every_toss_is_counted() -> None:
    tossed = {"alone": np.full(8, 0.5), "batch": np.array([0, 0, 0, 1, 1, 1, 1, 0.5])}
    (ax,) = tossed_labels_figure(tossed).axes
    honest, leaking = (np.array([bar.get_height() for bar in bars]) for bars in ax.containers)
    assert honest.sum() == leaking.sum() == honest.max() == 8
    assert (leaking[0], leaking[12], leaking[-1]) == (3, 1, 4) and ax.get_ylabel() == "of 8 tosses"


def test_each_run_has_its_lines_with_the_best_epoch_ringed_and_a_line_per_reading() -> None:
    curves = pd.DataFrame(
        [(0, 1, 0.7, 0.8), (0, 2, 0.6, 0.9), (1, 1, 0.5, 1.0), (1, 2, 0.65, 0.7)],
        columns=["seed", "epoch", "per image", "official"],
    )
    rows = [
        (seed, name, honest, value, value - 0.1, value + 0.05)
        for seed in (0, 1)
        for name, honest, value in (("per image, last", "yes", 0.6 + seed / 10), ("official, best", "NO", 0.9))
    ]
    readings = pd.DataFrame(rows, columns=["seed", "reading", "honest", "AUROC", "low", "high"])
    left, right = readings_figure(curves, readings).axes
    rings = [
        line.get_xydata()[0].tolist() for line in left.lines if line.get_markersize() == 13 and len(line.get_xdata())
    ]
    assert rings == [[1, 0.7], [2, 0.65], [2, 0.9], [1, 1.0]]
    lines = [list(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 2][:4]
    assert lines == [[0.7, 0.6], [0.5, 0.65], [0.8, 0.9], [1.0, 0.7]]
    places = [(bars.lines[0].get_xdata()[0], bars.lines[0].get_ydata()[0]) for bars in right.containers]
    assert [(value, round(y)) for value, y in places] == [(0.6, 0), (0.9, 1), (0.7, 0), (0.9, 1)]
    assert [bars.lines[0].get_color() for bars in right.containers] == [HONEST, LEAKING] * 2
    assert len({y for _, y in places}) == 4, "no run covers another"
    assert right.lines[-1].get_xdata()[0] == pytest.approx(0.65), "the mean of the first reading"
    assert names(right.get_yticklabels()) == ["per image,\nlast", "official,\nbest"]
    assert right.get_title("left") == "2 readings of 2 runs"
