"""JSON files that list the images of a task: reading one, and finding the files that it names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from d24fad_lite.data.layouts.folder_names import EXPECTED
from d24fad_lite.data.layouts.task_files import LayoutError
from d24fad_lite.data.names import composed
from d24fad_lite.files import JsonError, read_json


def read_listing(path: Path) -> Any:
    """The content of a JSON file; LayoutError where it is not JSON."""
    try:
        return read_json(path)
    except JsonError as error:
        raise LayoutError(f"{error}; correct it or use folders: {EXPECTED}") from error


def posix(name: str) -> PurePosixPath:
    """A listed name as a path, whatever slashes it was written with."""
    return PurePosixPath(name.replace("\\", "/"))


def listed_file(path: Path, name: str, below: str = "") -> Path:
    """The file called `name` in the listing at `path`, beside the listing or in its subfolder `below`.

    Accents may be composed or not. LayoutError: the name leads out of that folder, or there is no such file.
    """
    inner = posix(name)
    if inner.is_absolute() or ".." in inner.parts:
        allowed = f"files under {below}/" if below else "files of this folder"
        raise LayoutError(f"'{path}' lists {name!r}, which leads out of the task folder; list {allowed}")
    candidates = [path.parent / below / inner, path.parent / inner]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    for candidate in candidates:
        if candidate.parent.is_dir():
            for other in candidate.parent.iterdir():
                if composed(other.name) == composed(candidate.name) and other.is_file():
                    return other
    raise LayoutError(f"'{path}' lists {name!r}, but '{candidates[0]}' does not exist")
