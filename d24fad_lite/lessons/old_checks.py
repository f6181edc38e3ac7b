"""OLD CHECKS: of the lessons whose exercises are not yet in `lessons/exercises`; goes with the last of them."""

from __future__ import annotations

from typing import Any

from d24fad_lite.lessons.checks import difference


def judge(
    name: str, actual: Any, expected: Any, hint: str = "", *, rtol: float = 1e-4, atol: float = 1e-6
) -> tuple[bool, str]:
    """Whether a learner's answer is right, and the line that says so; nothing that the answer raises passes through.

    Parameters
    ----------
    name : what is checked, as the line begins
    actual : the answer, or a function without arguments that gives it. None, `...` and an answer that raises are
        "not done yet".
    expected : a value of any kind, or a function without arguments; arrays and tensors are compared within
        `rtol` and `atol`, everything else with ==
    hint : shown while the answer is missing or wrong
    rtol, atol : tolerances, relative and absolute, as of numpy.allclose
    """
    tail = f" Hint: {hint}" if hint else ""
    try:
        value = actual() if callable(actual) else actual
    except Exception as error:  # whatever a half-written answer raises is no failure of the lesson
        return False, f"✗ {name}: not done yet ({type(error).__name__}: {error}).{tail}"
    if value is None or value is Ellipsis:
        return False, f"✗ {name}: not done yet.{tail}"
    problem = difference(value, expected() if callable(expected) else expected, rtol, atol)
    return not problem, f"✗ {name}: not yet, {problem}.{tail}" if problem else f"✓ {name}: correct"
