"""Scorers that are given files: do they read the name, the time or the container instead of the picture?"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ...data.image_set import ImageSet
from ..metrics import image_auroc
from .findings import CLEAN, LEAK, Finding
from .invariance import TOLERANCE, CountError, Score, relative_change

ScoreFiles = Callable[[list[Path]], object]  # paths of image files -> their scores


def image_scorer(score: ScoreFiles) -> Score:
    """A scorer of files as a scorer of images [N, 3, S, S]: these are written as PNG under names that say nothing."""

    def scores(images: Tensor) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for i, image in enumerate(images):
                paths.append(Path(folder) / f"{i:06d}.png")
                pixels = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
                Image.fromarray(pixels).save(paths[-1])
            return _scores(score, paths)

    return scores


def file_findings(score: ScoreFiles, test: ImageSet, size: int, seed: int = 0) -> list[Finding]:
    """Score the files as they are, under other names and times, and re-saved at one size and format."""
    labels = np.asarray(test.labels)
    order = np.random.default_rng([seed, 11]).permutation(len(test))
    with tempfile.TemporaryDirectory() as folder:
        renamed = _renamed([test.paths[i] for i in order], Path(folder))
        neutral = np.empty(len(test))
        neutral[order] = _scores(score, renamed)
        named = _scores(score, list(test.paths))
    resaved = image_scorer(score)(test.images(size))
    return [
        _compare("file names and times", "the same files under names and times that say nothing, in another order",
                 named, neutral, labels, TOLERANCE,
                 "a score depends on where a file lies, how it is called or when it was written"),
        # Re-saving rounds resized pixels to 8 bits: honest scores move a little, so only a real change counts.
        _compare("image size and format", f"the same pictures re-saved as {size}-px PNG", neutral, resaved, labels, 0.5,
                 "a score depends on the stored size, format or metadata"),
    ]


def _renamed(paths: Sequence[Path], folder: Path) -> list[Path]:
    copies = []
    for i, path in enumerate(paths):
        copies.append(folder / f"{i:06d}{path.suffix.lower()}")
        shutil.copyfile(path, copies[-1])
        os.utime(copies[-1], (0, 0))
    return copies


def _scores(score: ScoreFiles, paths: list[Path]) -> np.ndarray:
    values = np.asarray(score(paths), np.float64).reshape(-1)
    if len(values) != len(paths):
        raise CountError(f"{len(paths)} files in, {len(values)} scores out")
    return values


def _compare(check: str, tried: str, suspect: np.ndarray, honest: np.ndarray, labels: np.ndarray, tolerance: float,
             detail: str) -> Finding:
    change = relative_change(suspect, honest)
    leak = not change <= tolerance
    return Finding(check, tried, LEAK if leak else CLEAN, detail if leak else "", change,
                   image_auroc(labels, honest), image_auroc(labels, suspect))
