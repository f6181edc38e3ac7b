"""Exercise notebooks stand on their own: nothing in them needs a name that the lesson defines in a cell left out.

`make test` also runs them as they are: an open exercise says "not done yet" instead of raising.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from build.exercises import exercise_notebook
from build.pairing import read_text
from d24fad_lite.lessons.numbering import lesson_files

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [path.stem for path in lesson_files(NOTEBOOKS / "exercises")]
UNDEFINED = ["--isolated", "--no-cache", "--select", "F821", "--output-format", "concise"]


def undefined_names(notebook: nbformat.NotebookNode, folder: Path) -> str:
    """What ruff says of names that no earlier or later cell of the notebook defines; empty when there are none."""
    code = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    script = folder / "exercise.py"
    script.write_text(code, encoding="utf-8")
    run = subprocess.run([sys.executable, "-m", "ruff", "check", *UNDEFINED, script], capture_output=True, text=True)
    return run.stdout if run.returncode else ""


def test_every_lesson_has_its_exercises() -> None:
    assert [path.stem for path in lesson_files(NOTEBOOKS)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_exercise_needs_a_name_that_is_not_defined(name: str, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOKS / "exercises" / f"{name}.ipynb", as_version=4)
    assert undefined_names(notebook, tmp_path) == ""
    assert not any("solution" in cell.metadata.get("tags", []) for cell in notebook.cells)
    assert sum("exercise" in cell.metadata.get("tags", []) for cell in notebook.cells) >= 2


def test_a_name_that_is_not_defined_would_be_seen(tmp_path: Path) -> None:
    notebook = exercise_notebook(read_text(NOTEBOOKS / "build" / "texts" / f"{NAMES[0]}.py"), NAMES[0])
    notebook.cells.append(nbformat.v4.new_code_cell("print(only_in_the_lesson)"))
    assert "only_in_the_lesson" in undefined_names(notebook, tmp_path)
