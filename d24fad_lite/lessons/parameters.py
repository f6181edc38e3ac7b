"""The parameters cell of a notebook: annotated literals, one per line, read without running anything.

    shots: int = 4  # supports per query

Papermill only warns about an unknown parameter, turns `-p quick true` into the text "true" and reads YAML `1e-3` as
a text. Here an unknown name is an error, a text that clearly means the declared type is converted, and anything else
is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from d24fad_lite.messages import did_you_mean

SCALARS = {"int": int, "float": float, "bool": bool, "str": str}
CONTAINERS: Mapping[str, tuple[type, ...]] = {"list": (list, tuple), "tuple": (list, tuple), "dict": (dict,)}
TRUE, FALSE = {"true", "yes", "on"}, {"false", "no", "off"}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: its name, annotation as written, default value, and the comment behind it."""

    name: str
    annotation: str
    default: Any
    help: str = ""


def parse_parameters(source: str) -> list[Parameter]:
    """The parameters a cell declares. Raises ValueError for a line that is not `name: type = literal`."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"parameters cell is not Python: {error}") from error
    lines = source.splitlines()
    parameters: list[Parameter] = []
    for node in body:
        text = lines[node.lineno - 1].strip()
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None):
            raise ValueError(f"parameters cell: {text!r} must be an annotated literal such as 'shots: int = 4'")
        if node.lineno != node.end_lineno:
            raise ValueError(f"parameters cell: {text!r} must stand on one line")
        try:
            default = ast.literal_eval(node.value)
        except ValueError as error:
            raise ValueError(f"parameters cell: {text!r} must be a literal, nothing derived") from error
        annotation = ast.unparse(node.annotation)
        comment = lines[node.lineno - 1].encode()[node.end_col_offset :].decode().strip().lstrip("# ")
        parameters.append(Parameter(node.target.id, annotation, convert(node.target.id, default, annotation), comment))
    return parameters


def check_parameters(declared: Iterable[Parameter], given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The given values, converted to the declared types.

    Raises ValueError for an unknown name (with the closest declared one) and for a value of another type.
    """
    known = {parameter.name: parameter for parameter in declared}
    prefix = f"{where}: " if where else ""
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"{prefix}unknown parameter {name!r}{did_you_mean(name, known)}; declared: {listed}")
    try:
        return {name: convert(name, value, known[name].annotation) for name, value in given.items()}
    except ValueError as error:
        raise ValueError(f"{prefix}{error}") from error


def with_defaults(declared: Iterable[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every declared parameter: the given one, else its default."""
    return {parameter.name: parameter.default for parameter in declared} | dict(given)


def convert(name: str, value: Any, annotation: str) -> Any:
    """`value` as the annotated type: int, float, bool, str, list[...], Literal[...], and unions with None.

    Texts are read as a command line writes them ("1e-3" for float, "true" for bool, "[2, 4]" for list[int]); a float
    for an int, a number for a bool and a number for a str are refused. An unknown annotation accepts anything.
    """
    return _convert(name, value, ast.parse(annotation.strip("'\""), mode="eval").body, annotation)


def _convert(name: str, value: Any, kind: ast.expr, annotation: str) -> Any:
    if isinstance(kind, ast.BinOp) and isinstance(kind.op, ast.BitOr):  # int | None
        for option in (kind.right, kind.left):
            try:
                return _convert(name, value, option, annotation)
            except ValueError:
                continue
    elif isinstance(kind, ast.Constant) and kind.value is None:
        if value is None or (isinstance(value, str) and value.lower() in {"none", "null"}):
            return None
    elif isinstance(kind, ast.Subscript) and isinstance(kind.value, ast.Name):
        return _convert_subscript(name, value, kind.value.id, kind.slice, annotation)
    elif isinstance(kind, ast.Name) and kind.id in SCALARS:
        return _convert_scalar(name, value, SCALARS[kind.id])
    elif isinstance(kind, ast.Name) and kind.id in CONTAINERS:
        value = _literal(value)
        if isinstance(value, CONTAINERS[kind.id]):
            return value
    else:
        return value
    raise ValueError(f"parameter {name!r} must be {annotation}, got {value!r} ({type(value).__name__})")


def _convert_subscript(name: str, value: Any, outer: str, inside: ast.expr, annotation: str) -> Any:
    """`value` as outer[inside], such as list[int] or Literal["a", "b"]."""
    if outer == "Literal":
        choices = ast.literal_eval(inside)
        choices = choices if isinstance(choices, tuple) else (choices,)
        if value in choices:
            return value
        raise ValueError(
            f"parameter {name!r} must be one of {', '.join(map(repr, choices))}, "
            f"got {value!r}{did_you_mean(str(value), choices)}"
        )
    if outer in {"list", "tuple"}:
        value = _literal(value)
        if isinstance(value, (list, tuple)):
            inner = inside.elts[0] if isinstance(inside, ast.Tuple) else inside
            items = [_convert(name, item, inner, annotation) for item in value]
            return items if outer == "list" else tuple(items)
        raise ValueError(f"parameter {name!r} must be {annotation}, got {value!r} ({type(value).__name__})")
    return value


def _convert_scalar(name: str, value: Any, kind: type) -> Any:
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(value, str):
        if kind is bool and value.strip().lower() in TRUE | FALSE:
            return value.strip().lower() in TRUE
        if kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                pass
    hint = " (use true or false)" if kind is bool else ""
    raise ValueError(f"parameter {name!r} must be {kind.__name__}, got {value!r} ({type(value).__name__}){hint}")


def _literal(value: Any) -> Any:
    """The list behind a text such as "[2, 4]"; other values as they are."""
    if isinstance(value, str):
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
    return value
