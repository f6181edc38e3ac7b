"""Does an image's score depend on the other images it is scored with?

Each image is scored alone, then together with others. An honest scorer gives the same numbers every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.evaluation.audit.findings import CLEAN, LEAK, Finding
from d24fad_lite.evaluation.metrics import image_auroc

Score = Callable[[Tensor], object]  # images [N, 3, S, S] in 0..1 -> N scores

TOLERANCE = 1e-3  # of the spread of the honest scores; float noise is far below, any real mixing far above
BATCH = 16  # of the published evaluation
COMPANIONS = 7  # images that an image is scored together with
PADDING = 5  # blank images that fill up a batch


class CountError(ValueError):
    """A scorer that gave another number of scores than it got images."""


def scores_of(score: Score, images: Tensor) -> np.ndarray:
    """Scores float64 [N] of images [N, 3, S, S] in one call; CountError where their number is another."""
    result = score(images)
    values = result.detach().cpu().numpy() if isinstance(result, Tensor) else np.asarray(result)
    values = values.astype(np.float64).reshape(-1)
    if len(values) != len(images):
        raise CountError(f"{len(images)} images in, {len(values)} scores out")
    return values


def scored_alone(score: Score, images: Tensor) -> np.ndarray:
    """Scores [N] with each image in a call of its own: the reference of every trial."""
    return np.concatenate([scores_of(score, image[None]) for image in images])


def invariance_findings(score: Score, images: Tensor, labels: np.ndarray, seed: int = 0) -> list[Finding]:
    """Whether scores depend on batch size, order, companions, padding, repetition or the number of images.

    Parameters
    ----------
    score : function, images [N, 3, S, S] in 0..1 -> N scores
    images : float [N, 3, S, S]
        Test images of both classes.
    labels : int [N], 0 and 1
    seed : int, default 0
        Of the shuffled order.
    """
    try:
        alone = scored_alone(score, images)
    except Exception as error:  # whatever an unknown scorer raises on one image is the finding
        detail = f"{type(error).__name__}: {error}"
        return [Finding("scored alone", "each image by itself", LEAK, f"cannot score one image: {detail[:160]}")]
    findings = [_compare(trial, alone, labels) for trial in _trials(score, images, labels, seed)]
    return [*findings, _count(score, images)]


@dataclass(frozen=True)
class Trial:
    """One check: its name, what is done as a sentence, and functions that do it and return the scores [N]."""

    check: str
    tried: str
    scorings: tuple[Callable[[], np.ndarray], ...]


def _trials(score: Score, images: Tensor, labels: np.ndarray, seed: int) -> Iterator[Trial]:
    n = len(images)
    by_class = np.argsort(labels, kind="stable")
    shuffled = np.random.default_rng([seed, 7]).permutation(n)
    yield Trial(
        "batch size",
        f"class-sorted batches of {BATCH}, and all {n} at once",
        (
            lambda: _in_batches(score, images, by_class, BATCH),
            lambda: _in_batches(score, images, by_class, n),
        ),
    )
    yield Trial(
        "order",
        "batches shuffled, and reversed",
        (
            lambda: _in_batches(score, images, shuffled, BATCH),
            lambda: _in_batches(score, images, by_class[::-1], BATCH),
        ),
    )
    yield Trial(
        "companions",
        "each image among normal images, and among anomalous ones",
        (
            lambda: _among(score, images, by_class[:COMPANIONS]),
            lambda: _among(score, images, by_class[-COMPANIONS:]),
        ),
    )
    yield Trial(
        "padding",
        "batches filled up with black, and with white images",
        (
            lambda: _padded(score, images, 0.0),
            lambda: _padded(score, images, 1.0),
        ),
    )
    yield Trial(
        "repetition",
        "each image beside seven copies of itself, and the same call twice",
        (
            lambda: _among_copies(score, images),
            lambda: _second_call(score, images),
        ),
    )


def _in_batches(score: Score, images: Tensor, order: np.ndarray, batch: int) -> np.ndarray:
    """Scores by image, when they are scored in this order."""
    result = np.empty(len(images))
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        result[part] = scores_of(score, images[torch.as_tensor(part.copy())])
    return result


def _among(score: Score, images: Tensor, companions: np.ndarray) -> np.ndarray:
    """Each image at the head of a batch of the same companions."""
    others = images[torch.as_tensor(companions.copy())]
    return np.array([scores_of(score, torch.cat([image[None], others]))[0] for image in images])


def _padded(score: Score, images: Tensor, value: float) -> np.ndarray:
    """Batches whose last images are of one value everywhere."""
    blank = torch.full_like(images[:1], value).repeat(PADDING, 1, 1, 1)
    parts = [scores_of(score, torch.cat([part, blank]))[: len(part)] for part in images.split(BATCH - PADDING)]
    return np.concatenate(parts)


def _among_copies(score: Score, images: Tensor) -> np.ndarray:
    """Each image beside copies of itself."""
    return np.concatenate([scores_of(score, image[None].repeat(COMPANIONS + 1, 1, 1, 1))[:1] for image in images])


def _second_call(score: Score, images: Tensor) -> np.ndarray:
    """The same call for the second time: a scorer must not remember the first."""
    scores_of(score, images)
    return scores_of(score, images)


def _compare(trial: Trial, alone: np.ndarray, labels: np.ndarray) -> Finding:
    """A leak where any scoring of the trial differs from the scores of the images alone."""
    reference = image_auroc(labels, alone)
    worst, auroc_at_worst = 0.0, reference
    for scoring in trial.scorings:
        try:
            scores = scoring()
        except CountError as error:
            detail = f"{error}; every image needs a score"
            return Finding(trial.check, trial.tried, LEAK, detail, auroc_reference=reference)
        change = relative_change(scores, alone)
        if change >= worst:
            worst, auroc_at_worst = change, image_auroc(labels, scores)
    leak = not worst <= TOLERANCE
    detail = "a score depends on the images it came with; score each image by itself" if leak else ""
    return Finding(trial.check, trial.tried, LEAK if leak else CLEAN, detail, worst, reference, auroc_at_worst)


def relative_change(scores: np.ndarray, reference: np.ndarray) -> float:
    """Largest |difference|, in units of the standard deviation of the reference (of its size where that is zero)."""
    unit = float(reference.std()) or float(np.abs(reference).max()) or 1.0
    return float(np.abs(scores - reference).max()) / unit


def _count(score: Score, images: Tensor) -> Finding:
    """A leak where a scorer returns more or fewer scores than it got images."""
    tried = f"1, {BATCH - 1}, {BATCH} and {BATCH + 1} images in one call"
    for n in (1, BATCH - 1, BATCH, BATCH + 1):
        part = images[torch.arange(n) % len(images)]
        try:
            scores_of(score, part)
        except CountError as error:
            return Finding("count", tried, LEAK, f"{error}: images are dropped or made up; score every image")
    return Finding("count", tried, CLEAN)
