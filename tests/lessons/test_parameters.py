"""The parameters cell: what it may hold, and how values from outside are taken."""

from __future__ import annotations

from typing import Any

import pytest

from d24fad_lite.lessons.parameters import check_parameters, convert, parse_parameters

CELL = """profile: str = ""  # size of the run
seed: int = 0
lr: float = 1e-4
quick: bool = False
shots: list[int] = [2, 4]"""


def test_a_parameters_cell_is_read_with_types_defaults_and_comments() -> None:
    found = {parameter.name: parameter for parameter in parse_parameters(CELL)}
    assert list(found) == ["profile", "seed", "lr", "quick", "shots"]
    assert found["profile"].help == "size of the run"
    assert found["shots"].default == [2, 4] and found["shots"].annotation == "list[int]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed = 0", "must be an annotated literal"),
        ("import os", "must be an annotated literal"),
        ("seed: int = 2 + other", "nothing derived"),
        ("shots: list[int] = [\n    2,\n]", "must stand on one line"),
        ("seed: int = 'a'", "'seed' must be int, got 'a'"),
        ("seed: int = ", "is not Python"),
    ],
)
def test_a_line_that_is_no_annotated_literal_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_parameters(line)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("1e-3", "float", 0.001),
        (2, "float", 2.0),
        ("7", "int", 7),
        ("true", "bool", True),
        ("False", "bool", False),
        ("[2, 8]", "list[int]", [2, 8]),
        ((1, 2), "list[float]", [1.0, 2.0]),
        ("none", "int | None", None),
        ("3", "int | None", 3),
        ("a", "Literal['a', 'b']", "a"),
        ({"x": 1}, "dict", {"x": 1}),
    ],
)
def test_a_text_that_clearly_means_the_type_is_converted(value: Any, annotation: str, expected: Any) -> None:
    result = convert("name", value, annotation)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1.5, "int"),
        (True, "int"),
        ("1.5", "int"),
        (1, "bool"),
        ("maybe", "bool"),
        (3, "str"),
        ("abc", "float"),
        ([1.5], "list[int]"),
        ("x", "list[int]"),
        ("c", "Literal['a', 'b']"),
        ("x", "int | None"),
    ],
)
def test_a_value_of_another_type_is_refused(value: Any, annotation: str) -> None:
    with pytest.raises(ValueError, match="parameter 'name' must be"):
        convert("name", value, annotation)


def test_an_unknown_name_is_refused_with_the_closest_one() -> None:
    with pytest.raises(
        ValueError, match=r"09_x: unknown parameter 'shot' \(did you mean 'shots'\?\); declared: profile"
    ):
        check_parameters(parse_parameters(CELL), {"shot": 3}, "09_x")
