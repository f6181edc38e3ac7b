"""The grid of `d24fad benchmark`: which cells there are, and the table that they make together."""

from __future__ import annotations

from d24fad_lite.lessons.profiles import PROFILES
from d24fad_lite.runs.execute import NotebookResult
from d24fad_lite.runs.grid import GridCell
from d24fad_lite.runs.task_grid import grid_points, results_table


def test_the_grid_has_a_cell_for_every_task_method_and_seed_and_for_every_k_where_training_is_anew() -> None:
    quick = grid_points(PROFILES["quick"], ["A", "B"], ["d24fad", "untrained"], [0, 1], [2, 4])
    assert len(quick) == 8 and {point["shots"] for point in quick} == {"2,4"}
    full = grid_points(PROFILES["full"], ["A"], ["d24fad"], [0], [2, 4, 8])
    assert [(point["shots"], point["train_shots"]) for point in full] == [("2", 2), ("4", 4), ("8", 8)]


def test_the_table_holds_the_rows_of_completed_cells_and_each_row_once() -> None:
    def cell(name: str, *rows: dict[str, object]) -> GridCell:
        return GridCell(name, {}, NotebookResult(name), {"rows": list(rows)} if rows else None)

    shared = {"task": "A", "method": "untrained", "K": 2, "AUROC": 0.5}
    table = results_table([cell("one", shared, {**shared, "K": 4}), cell("failed"), cell("two", shared)])
    assert table[["K"]].to_numpy().ravel().tolist() == [2, 4]
    assert results_table([cell("failed")]).empty
