"""The parameters of the notebook that runs: which ones its cell declares, and the values they have now."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from d24fad_lite.lessons.parameters import Parameter, check_parameters, parse_parameters

CORE_PARAMETERS = (Parameter("profile", "str", ""), Parameter("seed", "int", 0), Parameter("out", "str", ""))
ROOT_PARAMETER = Parameter("root", "str", "")
# Those that change the profile; a notebook takes the ones that it declares, a plain call all of them.
PROFILE_PARAMETERS = {
    p.name: p
    for p in (
        Parameter("teacher", "str", ""),
        Parameter("weights", "str", ""),
        Parameter("reading", "str", ""),
        Parameter("epochs", "int", 0),
        Parameter("lr", "float", 0.0),
    )
}


def parameter_values(lesson: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Checked values of the declared parameters, as the namespace has them now.

    Parameters
    ----------
    lesson : the notebook's name, with which errors begin.
    namespace : a notebook's globals(), or the parameters alone, as a script gives them.

    Raises
    ------
    ValueError : a value of another type, or a name that papermill (or a script) gave and that nothing declares.
    """
    declared, injected = _declared(namespace)
    if declared is None:
        known = [*CORE_PARAMETERS, ROOT_PARAMETER, *PROFILE_PARAMETERS.values()]
        given = _plain_values(namespace, known) if is_notebook(namespace) else namespace
        return check_parameters(known, given, lesson)
    if undeclared := injected - {p.name for p in declared}:
        check_parameters(declared, dict.fromkeys(undeclared), lesson)  # refuses them
    return check_parameters(declared, {p.name: namespace.get(p.name, p.default) for p in declared}, lesson)


def is_notebook(namespace: Mapping[str, Any]) -> bool:
    """Whether these are the globals of a module, as a notebook's are, and not parameters alone."""
    return "__name__" in namespace


def _declared(namespace: Mapping[str, Any]) -> tuple[list[Parameter] | None, set[str]]:
    """Parameters of the executed cell that declares `profile`, and the names a later papermill cell assigned.

    IPython keeps the text of executed cells in `In`, under papermill and JupyterLab. nbval switches that memory off:
    there nothing is declared, and what the namespace holds under the names of parameters is taken.
    """
    sources = [source for source in namespace.get("In", []) if isinstance(source, str)]
    declared: list[Parameter] | None = None
    injected: set[str] = set()
    for source in sources:
        if declared is None and "profile" in source:
            try:
                parameters = parse_parameters(source)
            except ValueError:
                continue  # a cell that mentions the word and is no parameters cell
            declared = parameters if any(p.name == "profile" for p in parameters) else None
        elif declared is not None and source.startswith("# Parameters"):  # papermill's injected cell
            injected |= _assigned_names(source)
    return declared, injected


def _plain_values(namespace: Mapping[str, Any], known: Iterable[Parameter]) -> dict[str, Any]:
    """What a notebook's globals hold under the names of parameters, where it is a text or a number."""
    values = {p.name: namespace[p.name] for p in known if p.name in namespace}
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float))}


def _assigned_names(source: str) -> set[str]:
    targets = [node.targets[0] for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
