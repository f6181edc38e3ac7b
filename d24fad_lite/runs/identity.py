"""When a finished notebook may stand for running it again: the same run, and results that nobody touched since."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.contents import contents_sha256
from d24fad_lite.files import file_sha256, sha256_of, sources_sha256
from d24fad_lite.lessons.checkout import PACKAGE_PARENT
from d24fad_lite.lessons.environment import package_version
from d24fad_lite.lessons.numbering import lesson_files
from d24fad_lite.lessons.parameters import Parameter, with_defaults
from d24fad_lite.lessons.profiles import DEVICE_VARIABLE, resolve_data, resolve_profile, settled

if TYPE_CHECKING:
    from nbformat import NotebookNode

PACKAGES = ("d24fad-lite", "torch", "timm", "numpy", "scikit-learn", "papermill", "ipykernel")  # numbers hang on these


def run_key(
    source: Path, notebook: NotebookNode, declared: Sequence[Parameter], parameters: Mapping[str, Any], cwd: Path
) -> str:
    """Equal keys, equal run: a hash over all that a notebook's numbers depend on.

    The code cells (and those of the other lessons, where it runs them), the parameters without `out`, the content of
    every file and folder that a parameter names, the content of the data, the teacher, the device that the environment
    asks for, the package's code and the versions of the libraries.

    Parameters
    ----------
    source, notebook : its file and its content
    declared : its parameters, as `declared_parameters` reads them
    parameters : the checked values it is run with
    cwd : the kernel's folder, from which relative paths count
    """
    values = with_defaults(declared, parameters)
    values.pop("out", None)
    facts = {
        "code": _code_of(source, notebook),
        "parameters": values,
        "inputs": {name: contents_sha256(path) for name, path in _inputs(values, cwd)},
        "data": _data_and_teacher(values, cwd) if "root" in values else None,
        "device": os.environ.get(DEVICE_VARIABLE, ""),
    } | numbers_hang_on()
    return sha256_of(json.dumps(facts, sort_keys=True, default=str))[:16]


def numbers_hang_on() -> dict[str, Any]:
    """The package's code and the versions of the libraries: what any number of the kit depends on."""
    return {"package": _package_hash(), "versions": {name: package_version(name) for name in PACKAGES}}


def runs_notebooks(notebook: NotebookNode) -> bool:
    """Whether a notebook runs a grid of others."""
    return _calls(notebook, "run_grid(")


def runs_processes(notebook: NotebookNode) -> bool:
    """Whether a notebook starts processes that use all cores by themselves."""
    return _calls(notebook, "run_grid(", "run_benchmark(")


def _calls(notebook: NotebookNode, *calls: str) -> bool:
    return any(call in code for code in _code_cells(notebook) for call in calls)


def hashes_of_results(output: Path, metrics: Path | None) -> dict[str, str]:
    """sha256 of what a run wrote, by path as seen from the executed notebook's folder: that, and its `out` folder.

    output : the executed notebook
    metrics : its metrics.json, which lies in the `out` folder; None where it has none
    """
    files = [output]
    if metrics is not None:
        files += [path for path in sorted(metrics.parent.rglob("*")) if path.is_file() and not _hidden(path, metrics)]
    return {Path(os.path.relpath(path, output.parent)).as_posix(): file_sha256(path) for path in files}


def changed_result(folder: Path, recorded: Mapping[str, str]) -> str | None:
    """The first file under `folder` that is not what was recorded of it, in words; None where all are as written."""
    if not recorded:
        return "no hashes of its results were recorded"
    for name, digest in recorded.items():
        try:
            if file_sha256(folder / name) != digest:
                return f"{name} was changed after the run"
        except OSError:
            return f"{name} is missing or cannot be read"
    return None


def _hidden(path: Path, metrics: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(metrics.parent).parts)


def _code_cells(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _code_of(source: Path, notebook: NotebookNode) -> list[str]:
    code = _code_cells(notebook)
    if runs_notebooks(notebook):
        code += [file_sha256(path) for path in lesson_files(source.parent) if path != source]
    return code


def _inputs(values: Mapping[str, Any], cwd: Path) -> list[tuple[str, Path]]:
    """Parameters that name a file or a folder which exists, also behind the `hf:` or `local-dir:` of a teacher."""
    texts = {name: value.strip() for name, value in values.items() if isinstance(value, str)}
    places = ((name, named_place(cwd, re.sub(r"^(hf|local-dir):", "", text))) for name, text in texts.items())
    return [(name, path) for name, path in places if path is not None]


def named_place(cwd: Path, text: str) -> Path | None:
    """The file or folder that a text names, as seen from `cwd`; None where it names none."""
    with suppress(OSError, ValueError, RuntimeError):  # no path at all: too long, a zero in it, an unknown home
        path = cwd / Path(text.strip()).expanduser()
        return path if text.strip() and path.exists() else None
    return None


def _data_and_teacher(values: Mapping[str, Any], cwd: Path) -> list[str]:
    """Content of the folder of tasks, and the teacher's name and weights; what is wrong with them where they are."""
    try:
        profile = resolve_profile(values.get("profile", ""))
        root = resolve_data(profile, str(values["root"]) and str(cwd / Path(values["root"]).expanduser()))
        taken, _ = settled(profile, {n: values[n] for n in ("teacher", "weights") if n in values})
        return [contents_sha256(root), taken.teacher, taken.weights]
    except (ValueError, OSError) as error:  # the notebook will say it better
        return [str(error)]


@cache
def _package_hash() -> str:
    package = PACKAGE_PARENT / "d24fad_lite"
    return sources_sha256(package, sorted(package.rglob("*.py")))
