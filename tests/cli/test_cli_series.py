from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

PARAMETERS = """profile: str = ""
seed: int = 0
out: str = ""
root: str = ""
task: str = "RSNA"
shots: str = ""
train_shots: int = 0
method: str = "d24fad"
epochs: int = 0"""
CELL = """import json, os
assert seed != 13, "an unlucky seed"
rows = [{"task": task, "method": method, "K": int(k), "AUROC": 0.5 + seed / 10} for k in shots.split(",") if k]
os.makedirs(out, exist_ok=True)
facts = {"root": root, "tasks": sorted(os.listdir(root or "."))}
json.dump({"rows": rows, "epochs": epochs} | facts, open(f"{out}/metrics.json", "w"))"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose notebook 09 measures nothing, but says what it was asked for."""
    (tmp_path / "notebooks").mkdir()
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(CELL)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks/09_evaluate_task.ipynb")
    return tmp_path


def test_notebooks_run_with_parameters_and_say_where_the_report_is(d24fad, checkout) -> None:
    result = d24fad(
        "notebooks", "09", "-p", "task=LAG", "-p", "shots=4", "--checkout", checkout, "--out", checkout / "runs/one"
    )
    assert result.code == 0, result.err
    metrics = json.loads((checkout / "runs/one/09_evaluate_task/metrics.json").read_text())
    assert metrics["rows"] == [{"task": "LAG", "method": "d24fad", "K": 4, "AUROC": 0.5}]
    assert (checkout / "runs/one/report.html").is_file() and "1 of 1 completed" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("notebooks", "evalute"), "unknown notebook 'evalute'"),
        (("notebooks", "-p", "tusk=LAG"), "unknown parameter 'tusk' (did you mean 'task'?)"),
        (("notebooks", "-p", "task"), "--parameter 'task' must be written NAME=VALUE"),
        (("notebooks", "--profile", "quik"), "unknown profile 'quik' (did you mean 'quick'?)"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(d24fad, checkout, monkeypatch, arguments, message: str) -> None:
    monkeypatch.chdir(checkout)
    result = d24fad(*arguments, "--checkout", checkout)
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1
    assert not (checkout / "grid").exists() and not (checkout / "runs").exists()


def test_a_missing_extra_is_named_with_the_way_to_install_it(d24fad, checkout, monkeypatch) -> None:
    from d24fad_lite.runs import series as notebooks

    def missing(*_: object) -> int:
        raise ModuleNotFoundError("No module named 'papermill'", name="papermill")

    monkeypatch.setattr(notebooks, "run_series", missing)
    result = d24fad("notebooks", "--checkout", checkout)
    assert result.code == 2 and "pip install 'd24fad_lite[notebooks]'" in result.err
