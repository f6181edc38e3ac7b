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

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.evaluation.audit.findings import CLEAN, LEAK, Finding
from d24fad_lite.evaluation.audit.invariance import TOLERANCE, CountError, relative_change
from d24fad_lite.evaluation.metrics import image_auroc

ScoreFiles = Callable[[list[Path]], object]  # paths of image files -> their scores
TOLERANCE_RESAVED = 0.5  # re-saving rounds resized pixels to 8 bits: honest scores move a little, so more is allowed


def image_scorer(score: ScoreFiles) -> Callable[[Tensor], np.ndarray]:
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
    """Score the files as they are, under other names and times, and re-saved at one size and format.

    Parameters
    ----------
    score : function, list of paths -> scores
    test : ImageSet of both classes
    size : side in pixels at which images are re-saved
    seed : of the order in which renamed files are scored

    Raises
    ------
    CountError
        The scorer gave another number of scores than it got files.
    """
    labels = np.asarray(test.labels)
    order = np.random.default_rng([seed, 11]).permutation(len(test))
    with tempfile.TemporaryDirectory() as folder:
        copies = _renamed([test.paths[i] for i in order], Path(folder))
        renamed = np.empty(len(test))
        renamed[order] = _scores(score, copies)
        as_they_are = _scores(score, list(test.paths))
    resaved = image_scorer(score)(test.images(size))
    # The unit of a change is the spread of the scores that are closer to the picture: those of the renamed, re-saved.
    return [
        _finding(
            "file names and times",
            "the same files under names and times that say nothing, in another order",
            "a score depends on where a file lies, how it is called or when it was written",
            change=relative_change(as_they_are, renamed),
            tolerance=TOLERANCE,
            aurocs=(image_auroc(labels, as_they_are), image_auroc(labels, renamed)),
        ),
        _finding(
            "image size and format",
            f"the same pictures re-saved as {size}-px PNG",
            "a score depends on the stored size, format or metadata",
            change=relative_change(renamed, resaved),
            tolerance=TOLERANCE_RESAVED,
            aurocs=(image_auroc(labels, renamed), image_auroc(labels, resaved)),
        ),
    ]


def _renamed(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Copies called 000000 and so on, all of the same time."""
    copies = []
    for i, path in enumerate(paths):
        copies.append(folder / f"{i:06d}{path.suffix.lower()}")
        shutil.copyfile(path, copies[-1])
        os.utime(copies[-1], (0, 0))
    return copies


def _scores(score: ScoreFiles, paths: list[Path]) -> np.ndarray:
    """Scores float64 [N] of N files in one call; CountError where their number is another."""
    values = np.asarray(score(paths), np.float64).reshape(-1)
    if len(values) != len(paths):
        raise CountError(f"{len(paths)} files in, {len(values)} scores out")
    return values


def _finding(
    check: str, tried: str, detail: str, *, change: float, tolerance: float, aurocs: tuple[float, float]
) -> Finding:
    """A leak where the change is beyond the tolerance; `aurocs` before and as tried."""
    leak = not change <= tolerance
    verdict, detail = (LEAK, detail) if leak else (CLEAN, "")
    return Finding(check, tried, verdict, detail, change, auroc_reference=aurocs[0], auroc_tried=aurocs[1])
