"""Runs a learner's function on the cases of an exercise, and says in one line how far it has come."""

from __future__ import annotations

import copy
import linecache
from collections.abc import Callable
from types import TracebackType
from typing import Any

from d24fad_lite.lessons.checks import difference
from d24fad_lite.lessons.exercises.exercise import Case, Exercise, load_exercises

LONGEST_MESSAGE = 160  # characters of an exception's text that are shown


def judge_answer(exercise: Exercise, answer: Any) -> tuple[bool, str]:
    """Whether a learner's function is right in all cases, and the line that says so.

    Parameters
    ----------
    exercise : Exercise
    answer : callable
        The learner's function. None and `...`, and a function that returns one of them in the first case, are
        "not done yet". Whatever else it is or does makes a line, too.

    Returns
    -------
    right : bool
    line : str
        Begins with "✓" (right), "…" (not done yet) or "✗" (raises, or wrong), and never holds an expected value.

    Raises
    ------
    KeyboardInterrupt
        And nothing else, whatever the answer raises.
    """
    if _is_blank(answer):
        return False, _not_done(exercise)
    if not callable(answer):
        name = exercise.solution.__name__
        return False, (
            f"✗ {exercise.label}: got a {type(answer).__name__}; give the function itself, "
            f"lesson.check({exercise.number}, {name})"
        )
    cases = exercise.cases()
    for index, case in enumerate(cases):
        try:
            value = answer(*copy.deepcopy(case.arguments))
            if index == 0 and _is_blank(value):
                return False, _not_done(exercise)
            problem = _problem(value, exercise, case)
        except KeyboardInterrupt:
            raise
        except NotImplementedError:  # what a blank of graded assignments holds
            if index == 0:
                return False, _not_done(exercise)
            problem = "raises NotImplementedError"
        except BaseException as error:  # a half-written answer may raise anything, SystemExit too
            problem = f"raises {_described(error)}{_own_line(error.__traceback__, answer)}"
        if problem:
            return False, f"✗ {exercise.label}: {problem} (case: {case.name})"
    return True, f"✓ {exercise.label}: correct ({len(cases)} cases)"


def grade(lesson: str, number: int, answer: Any) -> None:
    """What a graded assignment calls: print the line of `lesson.check` where an answer is right, else fail with it.

    Parameters
    ----------
    lesson : str
        The lesson's name, "05_learn_to_weight".
    number : int
        The exercise's, from 1.
    answer : callable
        The learner's function itself. Whatever it raises becomes part of the line.

    Raises
    ------
    AssertionError
        The answer is not right in all cases, or not done yet; its text is the line.
    ValueError
        There is no such lesson or exercise.
    """
    right, line = judge_answer(load_exercises(lesson).exercise(number), answer)
    if not right:
        raise AssertionError(line)
    print(line)


def _not_done(exercise: Exercise) -> str:
    return f"… {exercise.label}: not done yet"


def _is_blank(value: Any) -> bool:
    return value is None or value is Ellipsis


def _problem(value: Any, exercise: Exercise, case: Case) -> str:
    """How a value differs from what is expected in this case; '' when it does not."""
    if _is_blank(value):
        return "returns nothing"
    own_copy = Case(case.name, copy.deepcopy(case.arguments))  # the answer may have kept or changed its own
    return difference(value, exercise.expected(own_copy), exercise.rtol, exercise.atol)


def _described(error: BaseException) -> str:
    """Type and message of an exception on one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # the learner's own exception class may not be printable
        message = ""
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[: LONGEST_MESSAGE - 1]}…"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _own_line(traceback: TracebackType | None, answer: Callable[..., Any]) -> str:
    """', line 3: `q = x[9]`', the innermost line of the cell that holds the answer; '' where it cannot be told."""
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    number = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            number = traceback.tb_lineno
        traceback = traceback.tb_next
    if file is None or number is None:
        return ""
    source = linecache.getline(file, number).strip()
    return f", line {number}: `{source}`" if source else f", line {number}"
