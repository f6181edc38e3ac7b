"""Evaluate a detector, or any scorer, on one task over several draws of supports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..data.benchmark import Task, require_both_classes, require_disjoint, require_shots
from ..data.episodes import draw_supports
from ..model.allocator import keep_freed_memory
from ..model.detector import D24FAD
from ..model.folding import folded_norms
from ..model.teacher import Teacher
from .metrics import PixelAuroc
from .official import official_scores
from .report import EvaluationReport
from .scorer import DetectorScorer, Scorer, as_scorer
from .shared_teacher import SharedTeacher

PROTOCOLS = ("per-image", "official")


def evaluate(
    model: D24FAD | Scorer,
    task: Task,
    shots: int = 4,
    draws: int = 10,
    seed: int = 0,
    *,
    protocol: str = "per-image",
    batch_size: int = 32,
    pixel: bool = True,
    precision: str = "fp32",
    reading: str | None = None,
    supports: np.ndarray | Sequence[Sequence[int]] | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Scores of the task's test images for several support sets, and what follows from them.

    Parameters
    ----------
    model : D24FAD or Scorer
    task : Task
        Supports are drawn from `task.train`, the test images are `task.test`.
    shots, draws, seed : int
        K, the number of support sets, and the seed of the draws. Draws are nested over K (2 within 4 within 8), do not
        repeat an image, and are the same for every method at the same seed.
    protocol : {"per-image", "official"}
        `"per-image"`: an image's score depends on itself and the supports only. `"official"`: the released code's
        evaluation, which leaks (see `official.py`); only to show and measure the difference.
    batch_size : int
        Test images per batch; speed and memory only, never a score.
    pixel : bool
        Whether to compute the pixel AUROC where the task has masks.
    precision : {"fp32", "bf16"}
        Of the convolutions of a D24FAD; "bf16" is faster and moves scores a little; where the processor lacks it,
        the evaluation goes on in fp32, warns, and notes it in the report's facts.
    reading : {"released", "paper", "matched"}, optional
        How a trained D24FAD is read, one of `READINGS`; default: as its configuration says.
    supports : int [draws, K], optional
        Support sets of your own (positions in `task.train`) in place of drawn ones; `shots` and `draws` follow them.
    progress : bool
        Show a progress bar.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ValueError
        Too few normal images for K, unknown protocol or reading, a test set without normal or without anomalous images,
        a test image among the training images, NaN scores.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol={protocol!r} is not known; choose one of {', '.join(map(repr, PROTOCOLS))}")
    scorer = as_scorer(model, precision, reading)
    keep_freed_memory()
    require_shots(task, shots, query=False)
    require_both_classes(task)
    require_disjoint(task)
    chosen = _support_sets(task, shots, draws, seed, supports)
    unique, places = np.unique(chosen, return_inverse=True)
    prepared = scorer.prepare(task.train.images(scorer.image_size, unique), places.reshape(chosen.shape))
    report = dict(
        task=task.name, method=scorer.name, protocol=protocol, shots=chosen.shape[1], seed=seed, supports=chosen,
        support_hashes=_hashes(task, unique, chosen), facts=_facts(scorer, task),
    )
    if protocol == "official":
        scores, kept = official_scores(scorer, task, prepared, progress)
        return EvaluationReport(labels=task.test.labels[kept], names=[task.test.names[i] for i in kept],
                                groups=[task.test.groups[i] for i in kept], scores=scores, **report)
    with_pixels = pixel and task.test.has_masks
    scores, pixel_aurocs = _score_all(scorer, task, prepared, batch_size, with_pixels, progress)
    return EvaluationReport(labels=np.asarray(task.test.labels), names=list(task.test.names),
                            groups=list(task.test.groups), scores=scores, pixel_aurocs=pixel_aurocs, **report)


def _score_all(scorer: Scorer, task: Task, prepared: Any, batch_size: int, pixel: bool,
               progress: bool) -> tuple[np.ndarray, list[float] | None]:
    """Scores [D, N] and pixel AUROC per draw, batch by batch: memory does not grow with the test set."""
    blocks: list[np.ndarray] = []
    meters: list[PixelAuroc] | None = None
    for indices, images in _batches(task, scorer.image_size, batch_size, progress):
        batch = scorer.score(images, prepared)
        blocks.append(np.asarray(batch.scores, np.float64))
        known = task.test.mask_known[indices]
        if not pixel or batch.maps is None or not known.any():
            continue
        masks = task.test.masks(scorer.image_size, indices[known])
        # Residuals are cosine distances: each of the L levels lies in 0..2. Steps far below float noise suffice.
        meters = meters or [PixelAuroc(*_range(m)) for m in batch.maps]
        for meter, maps in zip(meters, batch.maps, strict=True):
            meter.add(maps[known], np.asarray(masks))
    scores = np.concatenate(blocks, axis=1)
    values = [meter.value for meter in meters] if meters else []
    return scores, [v for v in values if v is not None] if values and None not in values else None


def _range(maps: np.ndarray) -> tuple[float, float]:
    """Range for the histogram, generous around the first batch; what lies outside lands in the end bins."""
    low, high = float(maps.min()), float(maps.max())
    return low - (high - low), high + 3 * (high - low)


def _batches(task: Task, size: int, batch_size: int, progress: bool) -> Iterator[tuple[np.ndarray, Tensor]]:
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} must be at least 1")
    starts = range(0, len(task.test), batch_size)
    for start in tqdm(starts, desc=f"evaluate {task.name}", disable=not progress, leave=False):
        indices = np.arange(start, min(start + batch_size, len(task.test)))
        yield indices, task.test.images(size, indices)


def _support_sets(task: Task, shots: int, draws: int, seed: int,
                  given: np.ndarray | Sequence[Sequence[int]] | None) -> np.ndarray:
    if given is None:
        return draw_supports(len(task.train), shots, draws, seed)
    chosen = np.asarray(given, dtype=np.int64)
    if chosen.ndim != 2 or chosen.size == 0 or chosen.min() < 0 or chosen.max() >= len(task.train):
        raise ValueError(f"supports must be [draws, K] positions from 0 to {len(task.train) - 1} in the normal "
                         f"training images of {task.name!r}, got shape {chosen.shape}")
    return chosen


def _hashes(task: Task, unique: np.ndarray, chosen: np.ndarray) -> list[list[str]]:
    by_position = dict(zip(unique.tolist(), task.train.hashes(unique), strict=True))
    return [[by_position[i] for i in row] for row in chosen.tolist()]


def _facts(scorer: Scorer, task: Task) -> dict[str, Any]:
    facts: dict[str, Any] = {"scorer": type(scorer).__name__}
    if task.left_out:  # a number is of the images that were read: whoever reads it later must know
        facts["left_out"] = [item.sentence(task.root) for item in task.left_out]
    teacher = scorer.model.teacher if isinstance(scorer, DetectorScorer) else getattr(scorer, "teacher", None)
    if isinstance(teacher, SharedTeacher):
        teacher = teacher.teacher
    if isinstance(teacher, Teacher):
        facts |= {"teacher": teacher.fingerprint(), "weights_source": teacher.weights_source.to_dict(),
                  "device": str(teacher.mean.device), "torch_threads": torch.get_num_threads(),
                  "folding": {"teacher": folded_norms(teacher.backbone)}}
    if isinstance(scorer, DetectorScorer):
        config = scorer.model.config
        facts |= {"config": config.to_dict(), "reading": config.reading_name, "precision": scorer.precision}
        facts["folding"]["student"] = folded_norms(scorer.model.student)
    return facts
