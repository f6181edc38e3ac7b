"""A grid of experiments: one notebook, many parameter sets, every finished cell kept.

<out>/<label>/cell.ipynb          executed notebook
<out>/<label>/cell/metrics.json   its numbers
<out>/<label>/result.json         its NotebookResult, written last: a cell without it has not finished
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from d24fad_lite.files import read_json_or_none, sha256_of, write_json
from d24fad_lite.lessons.parameters import check_parameters
from d24fad_lite.runs.execute import NotebookResult, declared_parameters, read_notebook, run_notebook
from d24fad_lite.runs.identity import changed_result
from d24fad_lite.runs.parallel import require_limits, side_by_side, thread_limit
from d24fad_lite.runs.resuming import is_same_run
from d24fad_lite.sole_writer import sole_writer

LONGEST = 120  # bytes of a label
UNLABELLED = {"profile", "root", "out"}


@dataclass(frozen=True)
class GridCell:
    """One point of the grid: its label, parameters, result, and metrics.json (None when it did not complete)."""

    label: str
    parameters: dict[str, Any]
    result: NotebookResult
    metrics: dict[str, Any] | None


def run_grid(
    notebook: Path | str,
    points: Sequence[Mapping[str, Any]],
    out: Path | str,
    *,
    timeout: float | None = None,
    jobs: int = 1,
    show_names: bool = False,
) -> list[GridCell]:
    """Run a notebook once for each parameter set; a failing cell of the grid does not stop the others.

    A cell that is finished under `out`, as the same run (see `run_key`) and with its results as they were written, is
    taken over, so a stopped grid goes on where it was. Prints one line per cell.

    Parameters
    ----------
    notebook : the .ipynb to run
    points : one parameter set for each cell of the grid
    out : folder of the grid, see the head of this module
    timeout : seconds without progress after which a cell is stopped; None or 0 for no limit
    jobs : cells that run side by side
    show_names : leave names of files and patients in what is written, see `run_notebook`

    Returns
    -------
    list of GridCell, in the order of `points`

    Raises
    ------
    ValueError : before anything runs, for a point that names an unknown parameter, has a wrong type or comes twice.
    FolderInUse : another process runs a grid in `out`.
    """
    source, out = Path(notebook), Path(out)
    require_limits(timeout, jobs)
    declared = declared_parameters(read_notebook(source), source.stem)
    checked = [check_parameters(declared, point, source.stem) for point in points]
    labels = [label(point) for point in checked]
    for name in labels:
        if labels.count(name) > 1:
            raise ValueError(f"two cells of the grid are the same ({name}); parameter sets must differ")
    calls = [
        partial(_cell, source, out / name, name, point, timeout, thread_limit(jobs), show_names)
        for name, point in zip(labels, checked, strict=True)
    ]
    cells: dict[int, GridCell] = {}
    with sole_writer(out, "a grid of experiments"):
        for position, cell in side_by_side(calls, jobs):
            cells[position] = cell
            print(_line(cell, len(cells), len(labels)), flush=True)
    return [cells[position] for position in range(len(cells))]


def label(point: Mapping[str, Any]) -> str:
    """A folder name that says the parameters: "method=d24fad,seed=0,task=RSNA"."""
    parts = (f"{key}={_shown(point[key])}" for key in sorted(point) if key not in UNLABELLED)
    text = re.sub(r"[^\w=,.+-]", "-", ",".join(parts)) or "default"
    if len(os.fsencode(text)) <= LONGEST:
        return text
    end = sha256_of(text)[:8]  # long names may begin alike
    return f"{os.fsencode(text)[: LONGEST - 9].decode(errors='ignore')}~{end}"


def _shown(value: Any) -> str:
    """A value as a label says it: of a path only its last name, with a hash that tells it from others."""
    text = str(value)
    place = PurePath(text)
    return f"{place.name}~{sha256_of(text)[:8]}" if place.is_absolute() else text


def _line(cell: GridCell, ended: int, count: int) -> str:
    how = "kept" if cell.result.resumed else f"{cell.result.seconds:.1f} s"
    return f"[{ended:2d}/{count}] {cell.label}  {cell.result.status} ({how})  {cell.result.error}"


def _finished(source: Path, folder: Path, name: str, point: dict[str, Any]) -> GridCell | None:
    """The cell as an earlier run left it, where that was the same run and its files are as they were written."""
    try:
        result = NotebookResult.from_dict(read_json_or_none(folder / "result.json"))
    except ValueError:
        return None
    if result.status != "completed" or changed_result(folder, result.files) or not is_same_run(result, source, point):
        return None
    return GridCell(name, point, replace(result, resumed=True), read_json_or_none(folder / "cell" / "metrics.json"))


def _cell(
    source: Path,
    folder: Path,
    name: str,
    point: dict[str, Any],
    timeout: float | None,
    environment: Mapping[str, str],
    show_names: bool,
) -> GridCell:
    if (finished := _finished(source, folder, name, point)) is not None:
        return finished
    (folder / "result.json").unlink(missing_ok=True)
    output = folder / "cell.ipynb"
    result = run_notebook(source, output, point, timeout=timeout, environment=environment, show_names=show_names)
    write_json(folder / "result.json", result.to_dict())
    metrics = read_json_or_none(folder / "cell" / "metrics.json") if result.status == "completed" else None
    return GridCell(name, point, result, metrics)
