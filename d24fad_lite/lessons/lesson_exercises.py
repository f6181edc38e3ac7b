"""What a learner calls beside an exercise: check, hint, solution, and the answers to "Check yourself"."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from d24fad_lite.lessons.exercises.exercise import ExerciseSheet


@dataclass(kw_only=True)
class LessonExercises:
    """The exercises of a running lesson.

    name : the lesson's, "04_dual_distillation"
    checks : title of each exercise that was checked -> whether it was right the last time
    """

    name: str
    checks: dict[str, bool] = field(default_factory=dict)
    _hints_given: dict[int, int] = field(default_factory=dict, repr=False)

    @property
    def exercises(self) -> ExerciseSheet:
        """All exercises of the lesson. Raises ValueError where it has none."""
        from d24fad_lite.lessons.exercises.exercise import load_exercises

        return load_exercises(self.name)

    def check(self, number: int, answer: Any) -> None:
        """Run your function on the cases of an exercise; prints one line, and metrics.json holds the last outcome.

        Parameters
        ----------
        number : of the exercise
        answer : your function itself, `lesson.check(1, bias_score)`; nothing that it raises passes through

        Raises
        ------
        ValueError : there is no such exercise; says which there are
        """
        from d24fad_lite.lessons.exercises.judging import judge_answer

        exercise = self.exercises.exercise(number)
        self.checks[exercise.title], line = judge_answer(exercise, answer)
        print(line)

    def hint(self, number: int, which: int | None = None) -> None:
        """Print a hint to an exercise.

        Parameters
        ----------
        number : of the exercise
        which : of its hints, from 1; default: the next one at each call, and the last one again after that

        Raises
        ------
        ValueError : there is no such exercise or hint; says which there are
        """
        exercise = self.exercises.exercise(number)
        count = len(exercise.hints)
        if which is None:
            which = min(self._hints_given.get(number, 0) + 1, count)
        text = exercise.hint(which)
        self._hints_given[number] = which
        print(f"hint {which} of {count} · {text}")

    def solution(self, number: int) -> None:
        """Show the complete solution of an exercise, to be read or pasted into the cell.

        Raises
        ------
        ValueError : there is no such exercise; says which there are
        """
        _show_python(self.exercises.exercise(number).solution_source())

    def answer(self, number: int | None = None) -> None:
        """Print the answer to a question of "Check yourself"; without a number, all of them.

        Raises
        ------
        ValueError : there is no such question; says which there are
        """
        sheet = self.exercises
        for n in range(1, len(sheet.answers) + 1) if number is None else [number]:
            print(f"{n}. {sheet.answer(n)}")


def _show_python(source: str) -> None:
    """Coloured in a notebook, plain anywhere else."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(source)
        return
    from IPython.display import display

    display({"text/plain": source, "text/markdown": f"```python\n{source}\n```"}, raw=True)
