"""Reads every file of a task and lists what is wrong with it, for `Task.check()` and `d24fad check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from d24fad_lite.data.image_set import ImageSet, require_same_size
from d24fad_lite.data.images import MIN_SIZE, ImageError, decode_image, read_mask, stored_size

if TYPE_CHECKING:
    from d24fad_lite.data.benchmark import Task

TINY = 8  # pixels; below, an image holds nothing a backbone could see
EXTREME_ASPECT = 3.0  # squeezed to a square, such an image is distorted beyond what a model was trained on


@dataclass(frozen=True)
class Problem:
    """One finding: `level` "error" (results would be wrong or work would stop) or "warning", and a sentence."""

    level: Literal["error", "warning"]
    message: str


def inspect_task(task: Task, *, pixels: bool = True) -> list[Problem]:
    """Problems of one task, errors first.

    Errors: a file that cannot be decoded, a mask of another size than its image, the same content in train and test.
    Warnings: the same content twice within a split, images below 8 px or of an aspect ratio beyond 3, empty masks.
    With `pixels` False only contents are compared (reads files, decodes none).
    """
    sets = [s for s in (task.train, task.valid, task.test) if s is not None]
    problems: list[Problem] = []
    if pixels:
        for images in sets:
            for path, mask, label in zip(images.paths, images.mask_paths, images.labels, strict=True):
                problems += _inspect_image(path) + (_inspect_mask(path, mask, int(label)) if mask is not None else [])
    problems += _twins(task, sets)
    return sorted(problems, key=lambda problem: problem.level)  # "error" < "warning"; stable otherwise


def _inspect_image(path: Path) -> list[Problem]:
    try:
        width, height = stored_size(path)
        decode_image(path, MIN_SIZE)
    except ImageError as error:
        return [Problem("error", str(error))]
    problems = []
    if min(width, height) < TINY:
        problems.append(Problem("warning", f"image '{path}' is only {width}x{height} pixels; replace or remove it"))
    if max(width, height) > EXTREME_ASPECT * min(width, height):
        problems.append(
            Problem("warning", f"image '{path}' is {width}x{height} pixels and will be squeezed to a square; crop it")
        )
    return problems


def _inspect_mask(path: Path, mask: Path, label: int) -> list[Problem]:
    try:
        marked = read_mask(mask)
        require_same_size(path, mask)
    except ImageError as error:
        return [Problem("error", str(error))]
    if label == 1 and not np.any(marked):
        return [Problem("warning", f"mask '{mask}' marks nothing, yet its image counts as anomalous; check the label")]
    return []


def _twins(task: Task, sets: list[ImageSet]) -> list[Problem]:
    """The same content twice: across train and test an error, elsewhere a warning."""
    seen: dict[str, tuple[ImageSet, str]] = {}
    problems = []
    for images in sets:
        for index, name in enumerate(images.names):
            if not images.paths[index].is_file():
                continue  # gone since the folder was opened; told by the look at the pixels
            digest = images.hashes(index)[0]
            first, first_name = seen.setdefault(digest, (images, name))
            if first_name == name:
                continue
            leak = first is task.train and images is task.test
            text = f"task '{task.name}': '{name}' is the same image as '{first_name}' (equal content); remove one"
            problems.append(Problem("error" if leak else "warning", text))
    return problems
