"""Every exercise can be solved, helps, refuses what is wrong, and is the one that its lesson asks for."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import re
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from build.pairing import read_text, text_names, text_path
from d24fad_lite.lessons.exercises.exercise import (
    Case,
    Exercise,
    ExerciseSheet,
    has_exercises,
    load_exercises,
)
from d24fad_lite.lessons.exercises.judging import judge_answer
from d24fad_lite.lessons.lesson import Lesson, start_lesson

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = [name for name in text_names(NOTEBOOKS) if has_exercises(name)]
EXERCISES = [
    pytest.param(exercise, id=f"{lesson}-{exercise.number}")
    for lesson in LESSONS
    for exercise in load_exercises(lesson).exercises
]
every_exercise = pytest.mark.parametrize("exercise", EXERCISES)
every_lesson = pytest.mark.parametrize("name", LESSONS)
FIRST = load_exercises("05_learn_to_weight").exercises[0]


@cache
def cells(name: str) -> list[Any]:
    return read_text(text_path(NOTEBOOKS, name)).cells


def code_of(name: str, tag: str) -> list[str]:
    return [cell.source for cell in cells(name) if tag in cell.metadata.get("tags", [])]


def perturbed(value: Any) -> Any:
    """Another value of the same form."""
    if isinstance(value, torch.Tensor):
        return ~value if value.dtype == torch.bool else value + 1
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return {name: perturbed(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)) and len(value):
        return [perturbed(value[0]), *value[1:]]
    if isinstance(value, str):
        return value + "x"
    return ~value if isinstance(value, np.ndarray) and value.dtype == bool else value + 1


# ------------------------------------------------------------------------------------------- every exercise


@every_exercise
def test_the_solution_is_right_in_all_cases(exercise: Exercise) -> None:
    count = len(exercise.cases())
    assert judge_answer(exercise, exercise.solution) == (True, f"✓ {exercise.label}: correct ({count} cases)")


@every_exercise
def test_an_exercise_has_cases_hints_and_a_title(exercise: Exercise) -> None:
    names = [case.name for case in exercise.cases()]
    assert len(names) >= 3 and len(set(names)) == len(names)
    assert 2 <= len(exercise.hints) <= 3 and exercise.title


@every_exercise
def test_cases_are_the_same_at_every_call_whatever_the_global_seed(exercise: Exercise) -> None:
    torch.manual_seed(1)
    first = [exercise.expected(case) for case in exercise.cases()]
    torch.manual_seed(2)
    for expected, case in zip(first, exercise.cases(), strict=True):
        torch.testing.assert_close(exercise.expected(case), expected, rtol=0, atol=0, equal_nan=True)


@every_exercise
@pytest.mark.parametrize("blank", [None, ..., lambda *_: None, lambda *_: ...])
def test_a_blank_is_not_done_yet(exercise: Exercise, blank: Any) -> None:
    assert judge_answer(exercise, blank) == (False, f"… {exercise.label}: not done yet")


@every_exercise
@pytest.mark.parametrize("error", [ValueError("no\nidea"), SystemExit(1), RecursionError(), GeneratorExit()])
def test_an_exception_is_named_with_its_case_and_line(exercise: Exercise, error: BaseException) -> None:
    def answer(*_: Any) -> None:
        raise error

    right, line = judge_answer(exercise, answer)
    assert not right and line.startswith(f"✗ {exercise.label}: raises {type(error).__name__}") and "\n" not in line
    assert "`raise error` (case: " in line and exercise.cases()[0].name in line
    assert "no idea" in line or not isinstance(error, ValueError)


@every_exercise
@pytest.mark.parametrize("constant", [0.0, 1.0, torch.zeros(1), "text", [], {}, object()])
def test_a_constant_is_refused(exercise: Exercise, constant: Any) -> None:
    right, line = judge_answer(exercise, lambda *_: constant)
    assert not right and line.startswith(f"✗ {exercise.label}: ") and "(case: " in line and "\n" not in line


@every_exercise
def test_the_right_form_with_other_values_is_refused_in_every_case(exercise: Exercise) -> None:
    for index, wrong_case in enumerate(exercise.cases()):
        seen = iter(range(len(exercise.cases())))

        def answer(*arguments: Any, wrong: int = index, seen: Any = seen) -> Any:
            value = exercise.solution(*arguments)
            return perturbed(value) if next(seen) == wrong else value

        right, line = judge_answer(exercise, answer)
        assert not right and line.endswith(f"(case: {wrong_case.name})") and "raises" not in line


@every_exercise
def test_what_the_answer_does_to_its_inputs_does_not_reach_the_reference(exercise: Exercise) -> None:
    def spoiling(*arguments: Any) -> Any:
        value = copy.deepcopy(exercise.solution(*arguments))
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                argument.zero_()
            elif isinstance(argument, np.ndarray):
                argument[...] = 0
            elif isinstance(argument, (list, dict)):
                argument.clear()
        return value

    assert judge_answer(exercise, spoiling)[0]
    assert judge_answer(exercise, exercise.solution)[0]


@every_exercise
def test_the_solution_leaves_its_inputs_as_they_were(exercise: Exercise) -> None:
    for case in exercise.cases():
        before = copy.deepcopy(case.arguments)
        exercise.solution(*case.arguments)
        for old, new in zip(before, case.arguments, strict=True):
            if isinstance(old, torch.Tensor):
                torch.testing.assert_close(new, old, rtol=0, atol=0)


# --------------------------------------------------------------------------------------------- every lesson


@every_lesson
def test_the_lesson_checks_the_exercises_that_there_are_in_their_order(name: str) -> None:
    called = [int(n) for source in code_of(name, "exercise") for n in re.findall(r"lesson\.check\((\d+),", source)]
    exercises = load_exercises(name).exercises
    assert called == [exercise.number for exercise in exercises] == list(range(1, len(exercises) + 1))
    assert not code_of(name, "solution")
    assert not any(re.search(r"lesson\.check\(\s*[\"']", cell.source) for cell in cells(name))


@every_lesson
def test_an_exercise_cell_holds_the_blank_of_its_solution(name: str) -> None:
    for exercise, source in zip(load_exercises(name).exercises, code_of(name, "exercise"), strict=True):
        function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        assert function.name == exercise.solution.__name__
        assert [a.arg for a in function.args.args] == list(inspect.signature(exercise.solution).parameters)
        assert ast.unparse(function.body[-1]) == "..." and f"lesson.check({exercise.number}, {function.name})" in source


@every_lesson
def test_a_solution_works_when_pasted_into_the_notebook(name: str) -> None:
    (setup,) = code_of(name, "setup")
    imports = "\n".join(line for line in setup.splitlines() if re.match(r"(import|from) ", line))
    for exercise in load_exercises(name).exercises:
        namespace: dict[str, Any] = {}
        exec(f"{imports}\n\n\n{exercise.solution_source()}", namespace)
        assert judge_answer(exercise, namespace[exercise.solution.__name__])[0]


@every_lesson
def test_every_question_has_an_answer_and_the_lesson_says_where_help_is(name: str) -> None:
    words = "\n".join(cell.source for cell in cells(name) if cell.cell_type == "markdown")
    questions = words.split("## Check yourself")[1].split("## Exercises")[0]
    numbers = re.findall(r"^(\d)\. ", questions, re.MULTILINE)
    assert len(numbers) == len(load_exercises(name).answers) and "lesson.answer()" in questions
    assert words.count("lesson.hint(1)") == words.count("lesson.solution(1)") == 1


def test_a_module_of_exercises_belongs_to_a_lesson() -> None:
    folder = NOTEBOOKS.parent / "d24fad_lite" / "lessons" / "exercises"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "exercise", "judging"}
    assert modules == {name.partition("_")[2] for name in LESSONS}


# ------------------------------------------------------------------------------------------ what messages say


def test_a_wrong_value_is_told_by_shape_or_largest_difference_and_case() -> None:
    right = FIRST.solution
    for answer, line in [
        (lambda q, b: right(q, b) + 0.5, "the largest difference is 0.5 (case: five queries)"),
        (lambda q, b: right(q, b)[:, None], "got shape [5, 1], expected [5] (case: five queries)"),
        (lambda q, b: right(q, b) * float("nan"), "there are values that are not finite (case: five queries)"),
        (lambda q, b: right(q, b) if len(q) > 1 else None, "returns nothing (case: a batch of one)"),
        (lambda q, b: right(q, b).squeeze(), "got shape [], expected [1] (case: a batch of one)"),
    ]:
        assert judge_answer(FIRST, answer) == (False, f"✗ 1 · bias score: {line}")


def test_an_answer_that_is_no_function_is_told_how_to_hand_it_in() -> None:
    line = "✗ 1 · bias score: got a Tensor; give the function itself, lesson.check(1, bias_score)"
    assert judge_answer(FIRST, torch.ones(5)) == (False, line)


def test_wrong_arguments_and_long_messages_stay_on_one_line() -> None:
    assert "raises TypeError: " in judge_answer(FIRST, lambda query_map: query_map)[1]

    def long(*_: Any) -> None:
        raise ValueError("long " * 200)

    assert len(judge_answer(FIRST, long)[1]) < 320


def test_an_answer_that_cannot_be_compared_or_printed_is_refused() -> None:
    class Awkward:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def raising(*_: Any) -> None:
        raise Unprintable

    assert not judge_answer(FIRST, lambda *_: Awkward())[0]
    assert "raises Unprintable, line " in judge_answer(FIRST, raising)[1]


def test_an_interrupt_passes_through() -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_answer(FIRST, interrupted)


# ------------------------------------------------------------------------------------------ in a running lesson


@pytest.fixture
def lesson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lesson:
    lesson = start_lesson("05_learn_to_weight", {"out": str(tmp_path)})
    capsys.readouterr()
    return lesson


def printed(capsys: pytest.CaptureFixture[str], call: Callable[..., None], *arguments: Any) -> str:
    call(*arguments)
    return capsys.readouterr().out


def test_metrics_hold_the_outcome_of_the_last_check(lesson: Lesson, tmp_path: Path) -> None:
    first, second = lesson.exercises.exercises
    lesson.check(1, lambda *_: None)
    lesson.check(1, first.solution)
    lesson.check(2, second.solution)
    lesson.check(2, lambda *_: 0)
    lesson.finish({})
    assert json.loads((tmp_path / "metrics.json").read_text())["checks"] == {first.title: True, second.title: False}


def test_hints_come_in_order_and_the_last_one_again(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    expected = [f"hint {i} of 3 · {text}\n" for i, text in enumerate(FIRST.hints, start=1)]
    assert [printed(capsys, lesson.hint, 1) for _ in range(4)] == [*expected, expected[-1]]
    assert printed(capsys, lesson.hint, 2).startswith("hint 1 of 3")
    assert printed(capsys, lesson.hint, 1, 2) == expected[1]


def test_the_solution_is_python_text(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, lesson.solution, 1)
    assert text == textwrap.dedent(inspect.getsource(FIRST.solution)) and text.startswith("def bias_score(")


def test_in_a_notebook_the_solution_is_coloured(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython
    import IPython.display

    shown: list[dict[str, str]] = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    lesson.solution(1)
    (data,) = shown
    assert data["text/markdown"].startswith("```python\ndef bias_score(") and data["text/plain"].startswith("def bias")


def test_answers_come_one_by_one_or_all(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    everything = printed(capsys, lesson.answer)
    assert re.findall(r"^(\d)\. ", everything, re.MULTILINE) == list("12345")
    assert printed(capsys, lesson.answer, 3) in everything


def test_numbers_that_do_not_exist_are_refused_with_those_that_do(lesson: Lesson) -> None:
    there = "05_learn_to_weight has no exercise 3; it has 1 · bias score, 2 · nearest support"
    for call in (lambda: lesson.check(3, None), lambda: lesson.hint(3), lambda: lesson.solution(3)):
        with pytest.raises(ValueError, match=there):
            call()
    with pytest.raises(ValueError, match="exercise 1 has hints 1 to 3, got 4"):
        lesson.hint(1, 4)
    with pytest.raises(ValueError, match="05_learn_to_weight has questions 1 to 5, got 6"):
        lesson.answer(6)
    with pytest.raises(ValueError, match="04_x has no exercises"):
        load_exercises("04_x")


def test_a_sheet_may_be_made_by_hand() -> None:
    double = Exercise(
        number=1, title="double", solution=lambda x: 2 * x, hints=("a", "b"), cases=lambda: [Case("one", (1,))]
    )
    sheet = ExerciseSheet("x", (double,), ())
    assert judge_answer(sheet.exercise(1), lambda x: x + x) == (True, "✓ 1 · double: correct (1 cases)")
