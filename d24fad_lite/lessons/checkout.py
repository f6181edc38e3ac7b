"""Where a notebook runs: the checkout around the working directory, and the folder that keeps what a run writes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from d24fad_lite.lessons.numbering import lesson_files

EXERCISES = "exercises"  # the folder below notebooks/ with the exercises of each lesson
PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def find_checkout(root: Path | None = None) -> Path:
    """The folder that holds notebooks/NN_name.ipynb.

    Parameters
    ----------
    root : where to look; default: the working directory and the folders above it, then the package's own checkout.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError : no folder with notebooks.
    """
    candidates = [root.resolve()] if root is not None else [*_here_and_above(), PACKAGE_PARENT]
    for folder in candidates:
        if _holds_notebooks(folder):
            return folder
    where = f"{root}/notebooks" if root is not None else "notebooks/ here or above"
    raise FileNotFoundError(f"no NN_name.ipynb in {where}; run this in a checkout of d24fad_lite or name it with root=")


def run_folder(lesson: str, out: str = "") -> Path:
    """The folder of one notebook's run, made where it is absent.

    It is `out` where given, else runs/interactive/<lesson> in the checkout around the working directory, else (outside
    a checkout, or where it is read-only) the same below the system's folder for temporary files. The exercises of a
    lesson, which work in notebooks/exercises, have runs/interactive/exercises/<lesson>: both may be open at once.
    """
    if out:
        folder = Path(out).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    part = EXERCISES if Path.cwd().name == EXERCISES else ""
    checkout = next((folder for folder in _here_and_above() if _holds_notebooks(folder)), None)
    for base in (checkout, Path(tempfile.gettempdir()) / "d24fad_lite"):
        if base is not None:
            folder = base / "runs" / "interactive" / part / lesson
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix="d24fad_lite_"))


def _here_and_above() -> list[Path]:
    here = Path.cwd().resolve()
    return [here, *here.parents]


def _holds_notebooks(folder: Path) -> bool:
    return bool(lesson_files(folder / "notebooks"))
