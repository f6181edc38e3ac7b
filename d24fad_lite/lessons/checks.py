"""Are two results the same? A learner's answer (which may be absent), and a lesson's numbers (which must be right)."""

from __future__ import annotations

from typing import Any

import numpy as np


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
    problem = _difference(value, expected() if callable(expected) else expected, rtol, atol)
    return not problem, f"✗ {name}: not yet, {problem}.{tail}" if problem else f"✓ {name}: correct"


def same(name: str, actual: Any, expected: Any, *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """The proof of a lesson: its own numbers equal the package's. Prints one line.

    Parameters
    ----------
    name : what is compared, as the line begins
    actual, expected : numbers, arrays, tensors, or lists of them: the lesson's and the package's
    rtol, atol : tolerances, relative and absolute, as of numpy.allclose

    Raises
    ------
    AssertionError : they differ; says in which shape, or by how much.
    """
    problem = _difference(actual, expected, rtol, atol)
    if problem:
        raise AssertionError(f"{name}: {problem}")
    print(f"✓ {name}: same numbers as the package")


def _difference(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    """'' when equal, else what is different, in a few words."""
    if isinstance(expected, (list, tuple)) and any(hasattr(item, "shape") for item in expected):
        if not isinstance(actual, (list, tuple)) or len(actual) != len(expected):
            return f"{len(expected)} arrays expected"
        for index, pair in enumerate(zip(actual, expected, strict=True)):
            if problem := _difference(*pair, rtol, atol):
                return f"item {index}: {problem}"
        return ""
    first, second = _array(actual), _array(expected)
    if first is None or second is None:
        if _plainly_equal(actual, expected):
            return ""
        return f"got {_short(actual)}"
    if first.shape != second.shape:
        return f"got shape {list(first.shape)}, expected {list(second.shape)}"
    if np.allclose(first, second, rtol=rtol, atol=atol, equal_nan=True):
        return ""
    if first.ndim == 0:
        return f"got {float(first):.6g}"
    return f"the largest difference is {float(np.max(np.abs(first - second))):.3g}"


def _plainly_equal(actual: Any, expected: Any) -> bool:
    try:
        return bool(actual == expected)
    except Exception:  # an answer of another kind may refuse the comparison; that is a wrong answer
        return False


def _array(value: Any) -> np.ndarray | None:
    """A float array from a tensor, array, number or nested list of numbers; None when it is no such thing."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    if isinstance(value, (str, bytes, dict, set)):
        return None
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 1] + "…"
