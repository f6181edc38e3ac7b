"""Does an image's score depend on the other images it is scored with?

Each image is scored alone; then in other company. An honest scorer gives the same numbers every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..metrics import image_auroc
from .findings import CLEAN, LEAK, Finding

Score = Callable[[Tensor], object]  # images [N, 3, S, S] in 0..1 -> N scores

TOLERANCE = 1e-3  # of the spread of the honest scores; float noise is far below, any real mixing far above
BATCH = 16  # of the published evaluation


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
    """Each image in a call of its own: what all else is compared with."""
    return np.concatenate([scores_of(score, image[None]) for image in images])


def invariance_findings(score: Score, images: Tensor, labels: np.ndarray, seed: int = 0) -> list[Finding]:
    """Batch size, order, companions, padding, repetition and count, for test images [N, 3, S, S] of both classes."""
    try:
        alone = scored_alone(score, images)
    except Exception as error:  # whatever a stranger's scorer raises on one image is the finding
        detail = f"{type(error).__name__}: {error}"
        return [Finding("scored alone", "each image by itself", LEAK, f"cannot score one image: {detail[:160]}")]
    findings = []
    for check, tried, ways in _ways(score, images, labels, seed):
        findings.append(_compare(check, tried, ways, alone, labels))
    return [*findings, _count(score, images)]


Way = Callable[[], np.ndarray]


def _ways(score: Score, images: Tensor, labels: np.ndarray, seed: int) -> Iterator[tuple[str, str, list[Way]]]:
    n = len(images)
    by_class = np.argsort(labels, kind="stable")
    shuffled = np.random.default_rng([seed, 7]).permutation(n)
    yield "batch size", f"class-sorted batches of {BATCH}, and all {n} at once", [
        lambda: _in_batches(score, images, by_class, BATCH), lambda: _in_batches(score, images, by_class, n)]
    yield "order", "batches shuffled, and reversed", [
        lambda: _in_batches(score, images, shuffled, BATCH), lambda: _in_batches(score, images, by_class[::-1], BATCH)]
    yield "companions", "each image among normal images, and among anomalous ones", [
        lambda: _among(score, images, by_class[:7]), lambda: _among(score, images, by_class[-7:])]
    yield "padding", "batches filled up with black, and with white images", [
        lambda: _padded(score, images, 0.0), lambda: _padded(score, images, 1.0)]
    yield "repetition", "each image beside seven copies of itself, and the same call twice", [
        lambda: np.concatenate([scores_of(score, image[None].repeat(8, 1, 1, 1))[:1] for image in images]),
        lambda: (scores_of(score, images), scores_of(score, images))[1]]


def _in_batches(score: Score, images: Tensor, order: np.ndarray, batch: int) -> np.ndarray:
    result = np.empty(len(images))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        result[rows] = scores_of(score, images[torch.as_tensor(rows.copy())])
    return result


def _among(score: Score, images: Tensor, companions: np.ndarray) -> np.ndarray:
    others = images[torch.as_tensor(companions.copy())]
    return np.array([scores_of(score, torch.cat([image[None], others]))[0] for image in images])


def _padded(score: Score, images: Tensor, value: float) -> np.ndarray:
    blank = torch.full_like(images[:1], value).repeat(5, 1, 1, 1)
    parts = [scores_of(score, torch.cat([part, blank]))[: len(part)] for part in images.split(BATCH - 5)]
    return np.concatenate(parts)


def _compare(check: str, tried: str, ways: list[Way], alone: np.ndarray, labels: np.ndarray) -> Finding:
    honest = image_auroc(labels, alone)
    worst, after = 0.0, honest
    for way in ways:
        try:
            scores = way()
        except CountError as error:
            return Finding(check, tried, LEAK, f"{error}; every image needs a score", auroc_alone=honest)
        change = relative_change(scores, alone)
        if change >= worst:
            worst, after = change, image_auroc(labels, scores)
    verdict = LEAK if not worst <= TOLERANCE else CLEAN
    detail = "a score depends on the images it came with; score each image by itself" if verdict == LEAK else ""
    return Finding(check, tried, verdict, detail, worst, honest, after)


def relative_change(scores: np.ndarray, reference: np.ndarray) -> float:
    """Largest |difference|, in units of the standard deviation of the reference (of its size where that is zero)."""
    unit = float(reference.std()) or float(np.abs(reference).max()) or 1.0
    return float(np.abs(scores - reference).max()) / unit


def _count(score: Score, images: Tensor) -> Finding:
    tried = f"1, {BATCH - 1}, {BATCH} and {BATCH + 1} images in one call"
    for n in (1, BATCH - 1, BATCH, BATCH + 1):
        part = images[torch.arange(n) % len(images)]
        try:
            scores_of(score, part)
        except CountError as error:
            return Finding("count", tried, LEAK, f"{error}: images are dropped or made up; score every image")
    return Finding("count", tried, CLEAN)
