"""The command that goes on with a run: printed where it ended early, and written into its report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


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
) -> str:
    """What to type in the checkout to finish a run: completed notebooks are taken over, all others run.

    folder : of the run
    names : the notebooks that were asked for, None for all
    parameters : as they were given
    options : further ones of the command by name, such as jobs; None for those that were not given
    """
    interpreter = Path(sys.executable)  # not resolved: the environment's own, which may be a link to the system's
    python = shown_path(interpreter, checkout) if interpreter.is_relative_to(checkout) else "python"
    words = [python, "-m", "d24fad_lite.runs", *(names or []), "--profile", profile]
    for name, value in parameters.items():
        words += ["-p", f"{name}={value}"]
    for name, number in (options or {}).items():
        words += [] if number is None else [f"--{name}", f"{number:g}"]
    return shlex.join([*words, "--out", shown_path(folder, checkout), "--resume"])
