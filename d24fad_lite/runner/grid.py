"""A grid of runs of one notebook: the same lesson at many parameter settings, each cell run once and kept.

out/<label>.ipynb           executed notebook of a cell
out/<label>/metrics.json    its numbers
out/<label>/cell.json       what it was run with; a cell whose notebook, parameters and package are unchanged is not
                            run again, so a stopped grid goes on where it was
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d24fad_lite.runner.execute import NotebookResult, declared_parameters, read_notebook, run_key, run_notebook
from d24fad_lite.runner.metrics import read_json, write_json
from d24fad_lite.runner.parameters import check_parameters


@dataclass(frozen=True)
class GridCell:
    """One cell of a grid: its parameters, how its run ended, and its metrics (None unless completed)."""

    label: str
    parameters: dict[str, Any]
    result: NotebookResult
    metrics: dict[str, Any] | None


def run_grid(
    notebook: Path,
    cells: Sequence[Mapping[str, Any]],
    out: Path,
    *,
    timeout: float | None = None,
    verbose: bool = True,
) -> list[GridCell]:
    """Run `notebook` once for each set of parameters; a failing cell does not stop the others.

    notebook: the executed or unexecuted ipynb file.
    cells: parameters of each run; together with the notebook they must be different from cell to cell.
    out: folder of the results, shared by resumed runs.
    timeout: seconds per cell, None for no limit.
    Raises ValueError before anything runs, for an unknown or ill-typed parameter or two equal cells.
    """
    source = read_notebook(notebook)
    declared = declared_parameters(source, notebook.stem)
    plans = [check_parameters(declared, dict(cell), notebook.stem) for cell in cells]
    labels = [cell_label(plan) for plan in plans]
    if len(set(labels)) < len(labels):
        double = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"the grid names the cell {double!r} twice; cells must differ in their parameters")
    done = []
    for position, (label, plan) in enumerate(zip(labels, plans, strict=True), start=1):
        cell = _kept(out, label, plan, run_key(source, plan)) or _run(notebook, out, label, plan, timeout)
        if verbose:
            state = "kept" if cell.result.resumed else cell.result.status
            print(f"[{position}/{len(plans)}] {label}: {state} {cell.result.error}".rstrip(), flush=True)
        done.append(cell)
    return done


def cell_label(parameters: Mapping[str, Any]) -> str:
    """A file name that names a cell: `task-RSNA_seed-0`; the profile and folders stay out of it."""
    shown = {key: value for key, value in parameters.items() if key not in ("profile", "out", "root")}
    return "_".join(f"{key}-{re.sub(r'[^0-9A-Za-z.]+', '.', str(value))}" for key, value in shown.items()) or "cell"


def _kept(out: Path, label: str, parameters: dict[str, Any], key: str) -> GridCell | None:
    metrics, stored = read_json(out / label / "metrics.json"), read_json(out / label / "cell.json")
    if metrics is None or not stored or stored.get("key") != key:
        return None
    result = NotebookResult.from_dict(stored)
    result.resumed = True
    return GridCell(label, parameters, result, metrics)


def _run(notebook: Path, out: Path, label: str, parameters: dict[str, Any], timeout: float | None) -> GridCell:
    result = run_notebook(notebook, out / f"{label}.ipynb", parameters, timeout=timeout)
    metrics = read_json(out / label / "metrics.json") if result.status == "completed" else None
    if metrics is not None:
        write_json(out / label / "cell.json", result.to_dict())
    return GridCell(label, parameters, result, metrics)
