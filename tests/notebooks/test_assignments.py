"""Assignments for nbgrader: metadata as its schema 3 asks for, right with the solution, failing with the blank."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import pytest

from build.__main__ import main
from build.assignments import assignment, with_solution, write_assignments
from build.pairing import read_text, text_names, text_path
from d24fad_lite.lessons import grade
from d24fad_lite.lessons.exercises.exercise import Case, Exercise, has_exercises, load_exercises
from d24fad_lite.lessons.exercises.judging import judge_answer

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
GRADED = [name for name in text_names(NOTEBOOKS) if has_exercises(name)]
every_assignment = pytest.mark.parametrize("name", GRADED)
# nbgrader's metadata of a cell, schema 3, in our own words; what `nbgrader generate_assignment` adds is not there yet.
SCHEMA = {
    "type": "object",
    "required": ["schema_version", "grade", "locked", "solution", "grade_id"],
    "additionalProperties": False,
    "properties": {
        "schema_version": {"const": 3},
        "grade_id": {"type": "string", "pattern": r"^[a-zA-Z0-9_\-]+$"},
        "points": {"type": "number", "minimum": 0},
        **{switch: {"type": "boolean"} for switch in ("grade", "locked", "solution", "task")},
    },
}
REGION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.MULTILINE | re.DOTALL)


@cache
def instructors(name: str) -> nbformat.NotebookNode:
    return assignment(read_text(text_path(NOTEBOOKS, name)), name)


def students(name: str) -> nbformat.NotebookNode:
    """The assignment as nbgrader hands it out: a stub where the solution stood."""
    notebook = instructors(name).copy()
    notebook.cells = [cell.copy() for cell in notebook.cells]
    for cell in notebook.cells:
        cell.source = REGION.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()", cell.source)
    return notebook


def graded(notebook: nbformat.NotebookNode, key: str = "grade") -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.metadata.nbgrader[key]]


def outcomes(notebook: nbformat.NotebookNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the code cells in order in one namespace; per graded cell '' or what it failed with."""
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {"__name__": "__main__", "In": []}
    failures = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        namespace["In"].append(cell.source)
        try:
            exec(compile(cell.source, "cell", "exec"), namespace)
            failure = ""
        except AssertionError as error:
            failure = str(error)
        if cell.metadata.nbgrader.grade:
            failures.append(failure)
        else:
            assert not failure
    return failures


@every_assignment
def test_the_metadata_are_those_of_nbgraders_schema(name: str) -> None:
    keys = []
    for cell in instructors(name).cells:
        data = cell.metadata.nbgrader
        jsonschema.validate(dict(data), SCHEMA)
        keys.append(data.grade_id)
        assert ("points" in data) == data.grade, "points belong to graded cells, and to no other"
        assert data.solution != data.locked, "what a student writes in is open, all else is locked"
        assert cell.cell_type == "code" or not (data.grade or data.solution)
    assert len(set(keys)) == len(keys)


@every_assignment
def test_each_exercise_is_a_cell_to_write_in_and_a_locked_one_that_is_graded(name: str) -> None:
    notebook = instructors(name)
    exercises = load_exercises(name).exercises
    assert len(graded(notebook)) == len(graded(notebook, "solution")) == len(exercises)
    for exercise, answer, test in zip(exercises, graded(notebook, "solution"), graded(notebook), strict=True):
        assert notebook.cells.index(test) == notebook.cells.index(answer) + 1
        assert len(REGION.findall(answer.source)) == 1 and "lesson.check" not in answer.source
        assert f'grade("{name}", {exercise.number}, {exercise.solution.__name__})' in test.source


@every_assignment
def test_with_the_solution_all_pass_and_with_the_blank_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exercises = load_exercises(name).exercises
    assert outcomes(instructors(name), tmp_path, monkeypatch) == [""] * len(exercises)
    blank = [f"… {exercise.label}: not done yet" for exercise in exercises]
    assert outcomes(students(name), tmp_path, monkeypatch) == blank


@every_assignment
def test_what_a_student_gets_holds_no_solution_and_does_not_tell_how_to_see_it(name: str) -> None:
    text = nbformat.writes(students(name))
    assert "SOLUTION" not in text and "lesson.solution" not in text
    for exercise in load_exercises(name).exercises:
        body = exercise.solution_source().splitlines()[2:]
        assert max(body, key=len).strip() not in text  # the longest line; the last may be a bracket


def test_a_kernel_grades_as_this_process_does(tmp_path: Path) -> None:
    from nbclient import NotebookClient

    notebook = students("05_learn_to_weight")
    graded(notebook, "solution")[0].source = graded(instructors("05_learn_to_weight"), "solution")[0].source
    NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": tmp_path}}).execute()
    right, blank = graded(notebook)
    count = len(load_exercises("05_learn_to_weight").exercises[0].cases())
    assert right.outputs[0].text == f"✓ 1 · bias score: correct ({count} cases)\n"
    assert blank.outputs[0].ename == "AssertionError" and blank.outputs[0].evalue.endswith("not done yet")


def test_the_command_writes_nbgraders_folders_and_names_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--assignments", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.ipynb")) == [
        f"source/{name}/{name}.ipynb" for name in GRADED
    ]
    for name in set(text_names(NOTEBOOKS)) - set(GRADED):
        assert f"left out: {name}, no module d24fad_lite/lessons/exercises/{name[3:]}.py" in said
    assert said.endswith(f"nbgrader generate_assignment {GRADED[0]}\n")
    for path in tmp_path.rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))


def test_an_assignment_that_an_instructor_has_edited_is_not_written_over(tmp_path: Path) -> None:
    written, _ = write_assignments(NOTEBOOKS, tmp_path, ["05"])
    assert list(written) == ["05_learn_to_weight"]
    write_assignments(NOTEBOOKS, tmp_path, ["05"])  # the same again is no fault
    path = written["05_learn_to_weight"]
    path.write_text(
        edited := path.read_text(encoding="utf-8").replace("Write your", "Write all your"), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="differs from what would be written; move it away"):
        write_assignments(NOTEBOOKS, tmp_path)
    assert path.read_text(encoding="utf-8") == edited and not (tmp_path / "source" / "04_dual_distillation").exists()


def doubled(x):
    """Twice."""
    # why not
    return 2 * x


def undocumented(x):
    # the reason
    return 2 * x


def exercise(solution: Any) -> Exercise:
    return Exercise(number=1, title="x", solution=solution, hints=("a", "b"), cases=lambda: [Case("one", (1,))])


ONE_LINE = """\
# x -> x
def doubled(x): ...  # your turn


lesson.check(1, doubled)
"""
ONE_LINE_SOLVED = """\
# x -> x
def doubled(x):
    ### BEGIN SOLUTION
    # why not
    return 2 * x
    ### END SOLUTION"""
SEVERAL_LINES = """\
def undocumented(
    x,
):
    'Doubles.'
    ...  # your turn


lesson.check(
    1, undocumented
)
print(1)
"""
SEVERAL_LINES_SOLVED = """\
def undocumented(
    x,
):
    'Doubles.'
    ### BEGIN SOLUTION
    # the reason
    return 2 * x
    ### END SOLUTION


print(1)"""


@pytest.mark.parametrize(
    ("solution", "cell", "solved"),
    [(doubled, ONE_LINE, ONE_LINE_SOLVED), (undocumented, SEVERAL_LINES, SEVERAL_LINES_SOLVED)],
)
def test_the_solution_stands_where_the_blank_stood(solution: Any, cell: str, solved: str) -> None:
    assert with_solution(cell, exercise(solution)) == solved


def test_a_cell_without_an_open_function_is_refused() -> None:
    with pytest.raises(ValueError, match=r"exercise 1 · x: its cell has no open function `def doubled"):
        with_solution("def doubled(x):\n    return 1", exercise(doubled))


def test_grade_prints_or_fails_with_the_line_of_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    first = load_exercises("05_learn_to_weight").exercises[0]
    grade("05_learn_to_weight", 1, first.solution)
    assert capsys.readouterr().out == judge_answer(first, first.solution)[1] + "\n"
    with pytest.raises(AssertionError, match="✗ 1 · bias score: raises TypeError"):
        grade("05_learn_to_weight", 1, lambda: 0)
    with pytest.raises(ValueError, match="has no exercise 9"):
        grade("05_learn_to_weight", 9, first.solution)
