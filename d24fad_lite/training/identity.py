"""What decides the weights of a training beside its settings: the images' content, and the package's own code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from d24fad_lite.data.benchmark import Task
from d24fad_lite.files import sha256_of, sources_sha256

PACKAGE = Path(__file__).resolve().parents[1]
# The package's code that can change a weight: the method, its training, and how files become pixels.
SOURCES = ("model/**/*.py", "training/*.py", "data/*.py", "data/formats/*.py")


def images_identity(tasks: Mapping[str, Task], groups: bool = False) -> dict[str, str]:
    """For each training task how many images it has, and a hash of their contents in order, as one text.

    groups : whether the patients of the images count as well, as they do where some are held out
    """
    return {name: _of_images(task, groups) for name, task in tasks.items()}


def _of_images(task: Task, groups: bool) -> str:
    parts = [*task.train.hashes(), *(map(str, task.train.groups) if groups else ())]
    return f"{len(task.train)} images, contents {sha256_of(*parts)[:16]}"


@cache
def code_digest() -> str:
    """sha256 over the package's sources that can change a weight."""
    return sources_sha256(PACKAGE, source_files())


def source_files() -> list[Path]:
    """The package's files that `SOURCES` names, in a fixed order."""
    return sorted({path for pattern in SOURCES for path in PACKAGE.glob(pattern)})


def changes(stored: Mapping[str, Any], asked: Mapping[str, Any], inside: str = "") -> list[str]:
    """What differs between two identities, one text each; of mappings only the entries that differ."""
    found = []
    for name in sorted(stored.keys() | asked.keys()):
        old, new = stored.get(name), asked.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changes(old, new, f"{inside}{name}.")
        else:
            found.append(f"{inside}{name}: stored {old!r}, asked for {new!r}")
    return found
