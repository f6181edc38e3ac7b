"""How runs go on: the command for it, printed where a series ended early; and what an earlier run left to take over."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d24fad_lite.files import read_json
from d24fad_lite.runs.execute import NotebookResult, declared_parameters, read_notebook
from d24fad_lite.runs.identity import changed_result, run_key


def shown_path(path: Path, checkout: Path) -> str:
    """A path as seen from the checkout, where it lies in it."""
    return path.relative_to(checkout).as_posix() if path.is_relative_to(checkout) else str(path)


def resume_command(
    folder: Path,
    checkout: Path,
    names: Sequence[str] | None,
    profile: str,
    parameters: Mapping[str, Any],
    options: Mapping[str, float | None] | None = None,
    show_names: bool = False,
) -> str:
    """What to type in the checkout to finish a run: completed notebooks are taken over, all others run.

    folder : of the run
    names : the notebooks that were asked for, None for all
    parameters : as they were given
    options : further ones of the command by name, such as jobs; None for those that were not given
    show_names : whether names stay in what is written
    """
    interpreter = Path(sys.executable)  # not resolved: the environment's own, which may be a link to the system's
    python = shown_path(interpreter, checkout) if interpreter.is_relative_to(checkout) else "python"
    words = [python, "-m", "d24fad_lite.runs", *(names or []), "--profile", profile]
    for name, value in parameters.items():
        words += ["-p", f"{name}={value}"]
    for name, number in (options or {}).items():
        words += [] if number is None else [f"--{name}", f"{number:g}"]
    return shlex.join([*words, "--out", shown_path(folder, checkout), *["--names"] * show_names, "--resume"])


def is_same_run(earlier: NotebookResult, source: Path, parameters: Mapping[str, Any]) -> bool:
    """Whether running a notebook with these checked parameters would be the run that gave `earlier`, see `run_key`.

    Looks at every file of the data, so ask only where the rest speaks for taking the result over.
    """
    notebook = read_notebook(source)
    declared = declared_parameters(notebook, source.stem)
    return earlier.key == run_key(source, notebook, declared, parameters, source.parent.resolve())


def earlier_results(folder: Path) -> dict[str, NotebookResult]:
    """What the folder's summary calls completed and was not touched since; a notice says what is not believed."""
    path = folder / "summary.json"
    if not path.exists():
        return {}
    try:
        results = [NotebookResult.from_dict(values) for values in read_json(path)["notebooks"]]
    except (ValueError, OSError, TypeError, KeyError) as error:
        print(f"notice: {path.name} of the earlier run is damaged, so every notebook runs again ({error})", flush=True)
        return {}
    return {
        result.name: result for result in results if result.status == "completed" and _is_as_written(result, folder)
    }


def _is_as_written(result: NotebookResult, folder: Path) -> bool:
    changed = changed_result(folder, result.files)
    if changed:
        print(f"notice: {result.name} is not taken over: {changed}", flush=True)
    return changed is None
