"""The picture of a benchmark: methods by tasks, and their means at every K."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d24fad_lite.figures.benchmark import benchmark_figure
from d24fad_lite.runs.benchmark.table import MEAN, BenchmarkTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table_figure(table: BenchmarkTable, shots: int | None = None) -> Figure:
    """`benchmark_figure` of a table, best mean first.

    shots : K of the numbers by task; default: the middle one.
    """
    summary = table.summary
    counts = sorted(int(k) for k in summary["K"].unique())
    shots = counts[len(counts) // 2] if shots is None else shots
    tasks = [name for name in dict.fromkeys(summary["task"]) if name != MEAN]
    of_mean = summary[summary["task"] == (MEAN if MEAN in set(summary["task"]) else tasks[0])]
    names = of_mean[of_mean["K"] == shots].sort_values("AUROC", ascending=False)["method"]
    part = summary[(summary["K"] == shots) & (summary["task"] != MEAN)]
    by_task = part.pivot(index="method", columns="task", values="AUROC").loc[list(names), tasks]
    return benchmark_figure(by_task, of_mean[["method", "K", "AUROC", "low", "high"]], shots)


def save_figure(table: BenchmarkTable, path: Path) -> Path:
    """Draw the table into a PNG."""
    from d24fad_lite.files import replacing

    figure = table_figure(table)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=150, bbox_inches="tight")
    return path
