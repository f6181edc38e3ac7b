"""Are two results the same? Of a lesson and the package, which must be, or of a learner and the reference."""

from __future__ import annotations

from typing import Any

import numpy as np


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
    problem = difference(actual, expected, rtol, atol)
    if problem:
        raise AssertionError(f"{name}: {problem}")
    print(f"✓ {name}: same numbers as the package")


def difference(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    """'' when equal, else what is different, in a few words that do not tell the expected value.

    Arrays, tensors and numbers are compared within `rtol` and `atol` (as of numpy.allclose), lists and dicts of them
    item by item, everything else with ==.
    """
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or actual.keys() != expected.keys():
            return f"got {_short(actual)}; a dict with the {len(expected)} names asked for is expected"
        for name, value in expected.items():
            if problem := difference(actual[name], value, rtol, atol):
                return f"{name!r}: {problem}"
        return ""
    if isinstance(expected, (list, tuple)) and any(hasattr(item, "shape") for item in expected):
        if not isinstance(actual, (list, tuple)) or len(actual) != len(expected):
            return f"{len(expected)} arrays expected"
        for index, pair in enumerate(zip(actual, expected, strict=True)):
            if problem := difference(*pair, rtol, atol):
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
    if not np.isfinite(first).all() and np.isfinite(second).all():
        return "there are values that are not finite"
    return f"the largest difference is {float(np.nanmax(np.abs(first - second))):.3g}"


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
