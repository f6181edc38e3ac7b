"""Leave out every task in turn: the grid tasks x methods x seeds x shots for notebook 09, and its table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from d24fad_lite.data.benchmark import open_benchmark, require_both_classes
from d24fad_lite.lessons.checkout import find_checkout
from d24fad_lite.lessons.profiles import Profile, resolve_data, resolve_profile
from d24fad_lite.listings import names_of
from d24fad_lite.messages import choose_one_of
from d24fad_lite.runs.grid import GridCell

UNIT = "09_evaluate_task"
METHODS = ("d24fad", "untrained")  # that notebook 09 knows


@dataclass(frozen=True)
class TaskGrid:
    """What `run_grid` needs: the notebook, one set of parameters per cell, and the seconds a cell may take."""

    notebook: Path
    points: list[dict[str, Any]]
    timeout: float | None


def plan_task_grid(
    *,
    profile: str = "",
    data: str = "",
    tasks: Sequence[str] = (),
    methods: Sequence[str] = ("d24fad",),
    seeds: Sequence[int] = (),
    shots: Sequence[int] = (),
    epochs: int = 0,
    checkout: Path | None = None,
) -> TaskGrid:
    """Lay out the grid, and refuse what would fail in it before the first cell runs.

    Parameters
    ----------
    profile : str
        "quick", "standard" or "full"; empty: the environment's, else quick. It gives what is empty below.
    data : str
        Folder of tasks.
    tasks : sequence of str
        Tasks to leave out in turn, as `names_of` reads them; empty: all.
    methods : sequence of str
        Some of `METHODS`.
    seeds, shots : sequences of int
    epochs : int
        Passes over the training images; 0: the profile's.
    checkout : Path, optional
        Where notebooks/ lies; default: looked for from the working directory.

    Raises
    ------
    ValueError, FileNotFoundError, LayoutError : an unknown profile, task or method, a task whose test images are all of
    one class, no data, no notebook.
    """
    for method in methods:
        if method not in METHODS:
            raise ValueError(choose_one_of("method", method, METHODS))
    if not methods or epochs < 0:
        raise ValueError(f"methods {list(methods)} must name at least one, epochs {epochs} must be 0 or more")
    size = resolve_profile(profile)
    notebook = find_checkout(checkout) / "notebooks" / f"{UNIT}.ipynb"
    if not notebook.is_file():
        raise FileNotFoundError(f"{notebook} does not exist; benchmark runs it for every cell of the grid")
    root = resolve_data(size, data)
    bench = open_benchmark(root)
    left_out = [bench.resolve(name) for name in names_of(tasks, list(bench))] or list(bench)
    for name in left_out:
        require_both_classes(bench[name])  # of all tasks, before the first is trained for
    shared: dict[str, Any] = {"epochs": epochs} if epochs else {}
    if data or size.name != "quick":
        shared["root"] = str(root.resolve())  # kernels work in another folder
    points = grid_points(size, left_out, methods, seeds or size.seeds, shots or size.shots)
    return TaskGrid(notebook, [point | shared for point in points], size.timeout)


def grid_points(
    size: Profile, tasks: Sequence[str], methods: Sequence[str], seeds: Sequence[int], shots: Sequence[int]
) -> list[dict[str, Any]]:
    """The parameters of each cell: one for every K where the profile trains anew for each, else one for all K."""
    if size.train_shots == 0:
        per_cell: list[dict[str, Any]] = [{"shots": str(k), "train_shots": k} for k in shots]
    else:
        per_cell = [{"shots": ",".join(map(str, shots))}]
    return [
        {"profile": size.name, "task": task, "method": method, "seed": seed} | part
        for task in tasks
        for method in methods
        for seed in seeds
        for part in per_cell
    ]


def results_table(cells: Sequence[GridCell]) -> pd.DataFrame:
    """The rows of all completed cells; those of an untrained detector, which several cells share, stand once."""
    rows = [row for cell in cells if cell.metrics for row in cell.metrics.get("rows", [])]
    return pd.DataFrame(rows).drop_duplicates()
