"""An exercise, and where the exercises of a lesson are found."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from d24fad_lite.lessons.numbering import words_of


@dataclass(frozen=True)
class Case:
    """One call of a learner's function.

    name : what is special about it, as a message gives it: "a batch of one"
    arguments : what the function is called with, in order
    """

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A function that the learner writes, and what is needed to help with it and to check it.

    Attributes
    ----------
    number : as in the lesson, from 1
    title : two or three words, the name under which metrics.json holds the outcome
    solution : the complete function, shown as it stands; it uses only names that the lesson's set-up cell defines
    hints : two or three, from gentle to nearly there
    cases : makes the cases; at least three, with edge cases, the same at every call
    reference : gives what is expected, where possible by another way than the solution; default: the solution
    rtol, atol : tolerances, relative and absolute, as of numpy.allclose
    """

    number: int
    title: str
    solution: Callable[..., Any]
    hints: tuple[str, ...]
    cases: Callable[[], list[Case]]
    reference: Callable[..., Any] | None = None
    rtol: float = 1e-4
    atol: float = 1e-5

    @property
    def label(self) -> str:
        """Number and title, as every message begins."""
        return f"{self.number} · {self.title}"

    def expected(self, case: Case) -> Any:
        """What the function should return for a case (whose arguments may be changed by the call)."""
        return (self.reference or self.solution)(*case.arguments)

    def hint(self, number: int) -> str:
        """A hint, counted from 1. Raises ValueError for a number that is none."""
        if number not in range(1, len(self.hints) + 1):
            raise ValueError(f"exercise {self.number} has hints 1 to {len(self.hints)}, got {number!r}")
        return self.hints[number - 1]

    def solution_source(self) -> str:
        """The solution as Python text, to be read or pasted into a cell."""
        return textwrap.dedent(inspect.getsource(self.solution)).rstrip()


@dataclass(frozen=True)
class ExerciseSheet:
    """All exercises of one lesson, and the answers to its questions.

    lesson : the lesson's name, "05_learn_to_weight"
    exercises : in the order of their numbers
    answers : those to the questions of "Check yourself"
    """

    lesson: str
    exercises: tuple[Exercise, ...]
    answers: tuple[str, ...]

    def exercise(self, number: int) -> Exercise:
        """The exercise of that number. Raises ValueError where there is none, and says which there are."""
        for exercise in self.exercises:
            if exercise.number == number:
                return exercise
        there = ", ".join(exercise.label for exercise in self.exercises)
        raise ValueError(f"{self.lesson} has no exercise {number!r}; it has {there}")

    def answer(self, number: int) -> str:
        """The answer to a question, counted from 1. Raises ValueError where there is no such question."""
        if number not in range(1, len(self.answers) + 1):
            raise ValueError(f"{self.lesson} has questions 1 to {len(self.answers)}, got {number!r}")
        return self.answers[number - 1]


def has_exercises(lesson: str) -> bool:
    """Whether there is a module of exercises for a lesson of this name."""
    return importlib.util.find_spec(_module(lesson)) is not None


def load_exercises(lesson: str) -> ExerciseSheet:
    """The exercises of a lesson, "05_learn_to_weight". Raises ValueError where it has none."""
    if not has_exercises(lesson):
        raise ValueError(f"{lesson} has no exercises: there is no {_module(lesson)}")
    module = importlib.import_module(_module(lesson))
    return ExerciseSheet(lesson, module.EXERCISES, module.ANSWERS)


def _module(lesson: str) -> str:
    return f"{__package__}.{words_of(lesson)}"
