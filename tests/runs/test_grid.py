"""The grid: cells are kept, failures named, and it runs from inside a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from d24fad_lite.runs import identity, resuming
from d24fad_lite.runs.execute import run_notebook
from d24fad_lite.runs.grid import run_grid

CELL = """import json, os
os.makedirs(out, exist_ok=True)
assert task != "Bad", "no such task"
json.dump({"value": f"{task}{seed}"}, open(f"{out}/metrics.json", "w"))"""
OUTER = """from d24fad_lite.runs.grid import run_grid
cells = run_grid("09_unit.ipynb", [{"task": "HIS"}], "cells")
print(cells[0].metrics["value"])"""


def write(path: Path, *code: str, parameters: str) -> Path:
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]}), *map(new_code_cell, code)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    return write(tmp_path / "09_unit.ipynb", CELL, parameters='task: str = "RSNA"\nseed: int = 0\nout: str = ""')


def test_finished_cells_are_kept_and_a_failing_one_does_not_stop_the_grid(
    unit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_grid(unit, [{"task": "LAG", "seed": "1"}], tmp_path / "grid")
    assert first[0].metrics == {"value": "LAG1"} and first[0].label == "seed=1,task=LAG"
    both = run_grid(unit, [{"task": "Bad"}, {"task": "LAG", "seed": 1}], tmp_path / "grid")
    assert [cell.result.status for cell in both] == ["failed", "completed"]
    assert both[0].metrics is None and both[0].result.error == "AssertionError: no such task"
    assert both[1].result.resumed and both[1].metrics == {"value": "LAG1"}
    assert "completed (kept)" in capsys.readouterr().out


def test_the_data_is_looked_at_only_for_cells_that_may_be_kept(
    unit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def key(source: Path, notebook: object, declared: object, parameters: dict, cwd: Path) -> str:
        asked.append(parameters["task"])
        return identity.run_key(source, notebook, declared, parameters, cwd)

    monkeypatch.setattr(resuming, "run_key", key)
    run_grid(unit, [{"task": "LAG"}, {"task": "Bad"}], tmp_path / "grid")
    assert asked == []
    cells = run_grid(unit, [{"task": "LAG"}, {"task": "Bad"}, {"task": "HIS"}], tmp_path / "grid")
    assert asked == ["LAG"] and [cell.result.resumed for cell in cells] == [True, False, False]


def test_a_grid_runs_from_inside_a_notebook(unit: Path, tmp_path: Path) -> None:
    outer = write(tmp_path / "10_grid.ipynb", OUTER, parameters="seed: int = 0")
    result = run_notebook(outer, tmp_path / "run" / "10_grid.ipynb")
    assert result.status == "completed", result
    assert json.loads((tmp_path / "cells" / "task=HIS" / "cell" / "metrics.json").read_text()) == {"value": "HIS0"}


@pytest.mark.parametrize(
    ("points", "message"),
    [([{"tusk": "LAG"}], "did you mean 'task'"), ([{"seed": 1}, {"seed": "1"}], "two cells of the grid are the same")],
)
def test_a_wrong_grid_is_refused_before_anything_runs(
    unit: Path, tmp_path: Path, points: list[dict], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_grid(unit, points, tmp_path / "grid")
    assert not (tmp_path / "grid").exists()


def test_cells_run_side_by_side_come_back_in_the_order_of_the_points(unit: Path, tmp_path: Path) -> None:
    points = [{"task": "HIS"}, {"task": "Bad"}, {"task": "LAG"}]
    cells = run_grid(unit, points, tmp_path / "grid", jobs=2)
    assert [cell.parameters["task"] for cell in cells] == ["HIS", "Bad", "LAG"]
    assert [cell.result.status for cell in cells] == ["completed", "failed", "completed"]
    assert cells[2].metrics == {"value": "LAG0"}


def test_long_names_that_begin_alike_have_labels_of_their_own() -> None:
    from d24fad_lite.runs.grid import LONGEST, label

    first, second = (label({"task": "x" * 200 + end, "seed": 0}) for end in "ab")
    assert first != second and max(len(first), len(second)) <= LONGEST
    assert label({"task": "RSNA", "seed": 0}) == "seed=0,task=RSNA"


def test_a_label_says_of_a_path_only_its_last_name() -> None:
    from d24fad_lite.runs.grid import label

    first, second = label({"weights": "/home/me/a/w.pth"}), label({"weights": "/home/me/b/w.pth"})
    assert first.startswith("weights=w.pth") and first != second and "home" not in first + second
