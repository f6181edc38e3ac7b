"""The exercises as nbgrader assignments: OUT/source/<lesson>/<lesson>.ipynb, ready for `nbgrader generate_assignment`.

An assignment holds the lesson's parameters and set-up cells and its exercises, nothing that trains. Each exercise is a
cell to write in, with the solution between nbgrader's marks, and a locked cell that is graded: it runs the function on
the hidden cases of d24fad_lite/lessons/exercises. nbgrader itself is not needed here.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build.exercises import HEADING
from build.pairing import METADATA, notebook_text, read_text, set_cell_ids, text_names, text_path
from d24fad_lite.files import write_text
from d24fad_lite.lessons.exercises.exercise import Exercise, has_exercises, load_exercises
from d24fad_lite.lessons.numbering import words_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

SCHEMA = 3  # of nbgrader's cell metadata
POINTS = 1  # of each exercise
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SHOWN_SOLUTION = re.compile(r"[;,]?[^.;,\n]*`lesson\.solution\([^)]*\)`")


def write_assignments(
    notebooks: Path, out: Path, names: Sequence[str] | None = None
) -> tuple[dict[str, Path], dict[str, str]]:
    """Write the assignments of a checkout's lessons below `out`.

    Parameters
    ----------
    notebooks : the checkout's folder of notebooks
    out : the course folder of nbgrader; made where it is absent
    names : lessons or their numbers ("05"), None for all

    Returns
    -------
    written : lesson -> its notebook
    left_out : lesson -> why it has no assignment

    Raises
    ------
    ValueError : an unknown lesson; or a notebook is there that differs, for instructors edit them. Nothing is written.
    """
    from d24fad_lite.runs.series import select_names

    left_out, texts = {}, {}
    for name in select_names(text_names(notebooks), names):
        if has_exercises(name):
            texts[name] = notebook_text(assignment(read_text(text_path(notebooks, name)), name))
        else:
            left_out[name] = f"no module d24fad_lite/lessons/exercises/{words_of(name)}.py, so nothing can grade it"
    paths = {name: out / "source" / name / f"{name}.ipynb" for name in texts}
    for name, path in paths.items():
        if path.is_file() and path.read_text(encoding="utf-8") != texts[name]:
            raise ValueError(
                f"{path} is there and differs from what would be written; move it away, or name another folder"
            )
    for name, path in paths.items():
        write_text(path, texts[name])
    return paths, left_out


def assignment(lesson: NotebookNode, name: str) -> NotebookNode:
    """The assignment of one lesson, with solutions, as an instructor keeps it.

    lesson : the lesson's cells, see `read_text`
    name : its name, "05_learn_to_weight"
    Raises ValueError where an exercise cell holds no open function of the solution's name.
    """
    from nbformat.v4 import new_markdown_cell, new_notebook

    title = lesson.cells[0].source.splitlines()[0].lstrip("# ")
    exercises = iter(load_exercises(name).exercises)
    intro = (
        f"# Assignment to {title}\n\nWrite your functions where it says so. The cell below each one runs it on several "
        "cases and fails while something is missing; run the notebook from its first cell on before you hand it in."
    )
    cells, reached = [_locked(new_markdown_cell(source=intro), f"{name}-intro")], False
    texts = 0
    for cell in lesson.cells:
        tags = cell.metadata.get("tags", [])
        reached = reached or (cell.cell_type == "markdown" and cell.source.startswith(HEADING))
        if "exercise" in tags:
            cells += _exercise_cells(cell.source, next(exercises), name)
        elif {"parameters", "setup"} & set(tags):
            cell.metadata["jupyter"] = {"source_hidden": True}
            cells.append(_locked(cell, f"{name}-{'setup' if 'setup' in tags else 'parameters'}"))
        elif reached and cell.cell_type == "markdown":
            texts += 1
            cell.source = SHOWN_SOLUTION.sub("", cell.source)
            cells.append(_locked(cell, f"{name}-text-{texts}"))
    notebook = new_notebook(cells=cells, metadata=METADATA)
    set_cell_ids(notebook)
    return notebook


def _locked(cell: NotebookNode, grade_id: str) -> NotebookNode:
    return _described(cell, grade_id, locked=True)


def _described(cell: NotebookNode, grade_id: str, **switches: Any) -> NotebookNode:
    """The cell with nbgrader's metadata; `points` only where it is graded."""
    graded = {"grade": False, "solution": False, "locked": False, "task": False} | switches
    cell.metadata["nbgrader"] = {"schema_version": SCHEMA, "grade_id": grade_id} | graded
    return cell


def _exercise_cells(source: str, exercise: Exercise, name: str) -> list[NotebookNode]:
    """The cell to write in, with the solution, and the locked one that is graded."""
    from nbformat.v4 import new_code_cell

    function = exercise.solution.__name__
    key = f"{name}-exercise-{exercise.number}"
    test = (
        "from d24fad_lite.lessons import grade\n\n"
        f'grade("{name}", {exercise.number}, {function})  # fails with a line that says what is missing'
    )
    return [
        _described(new_code_cell(source=with_solution(source, exercise)), key, solution=True),
        _described(new_code_cell(source=test), f"{key}-test", grade=True, locked=True, points=POINTS),
    ]


def with_solution(source: str, exercise: Exercise) -> str:
    """An exercise cell whose open function holds the solution between nbgrader's marks; its check line is dropped."""
    name = exercise.solution.__name__
    tree = ast.parse(source)
    blanks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if len(blanks) != 1 or ast.unparse(blanks[0].body[-1]) != "...":
        raise ValueError(f"exercise {exercise.label}: its cell has no open function `def {name}(...): ...`")
    dots = blanks[0].body[-1]
    lines = source.splitlines()
    checks = [range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in tree.body if _is_check(node)]
    solved = [
        *lines[: dots.lineno - 1],
        *([before] if (before := lines[dots.lineno - 1][: dots.col_offset].rstrip()) else []),
        *textwrap.indent("\n".join((BEGIN, _body(exercise), END)), "    ").splitlines(),
    ]
    below = enumerate(lines[dots.lineno :], start=dots.lineno + 1)
    rest = [line for number, line in below if not any(number in check for check in checks)]
    return "\n".join([*solved, *rest]).rstrip()


def _is_check(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node.value).startswith("lesson.check(")


def _body(exercise: Exercise) -> str:
    """What stands below the signature and docstring of the solution, comments included."""
    source = exercise.solution_source()
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef), source
    lines = source.splitlines()
    if ast.get_docstring(function) is not None:
        start = function.body[0].end_lineno or 1
    else:
        start = function.body[0].lineno - 1
        while lines[start - 1].lstrip().startswith("#"):
            start -= 1
    return textwrap.dedent("\n".join(lines[start:])).strip("\n")
