"""Evaluate a detector, or any scorer, on one task over several draws of supports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from d24fad_lite.data.benchmark import Task, require_both_classes, require_disjoint, require_shots
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.metrics import PixelAuroc
from d24fad_lite.evaluation.official import official_scores, require_raw_maps, whole_batches
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.scorer import DetectorScorer, Scorer, as_scorer
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.messages import choose_one_of, printable
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.speed.allocator import keep_freed_memory
from d24fad_lite.model.speed.folding import folded_norms
from d24fad_lite.model.teacher import Teacher

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
    scorer = as_scorer(model, precision, reading)
    support_sets = require_measurable(
        scorer, task, shots, draws, seed, protocol=protocol, batch_size=batch_size, supports=supports
    )
    keep_freed_memory()
    distinct, draws_of_distinct = np.unique(support_sets, return_inverse=True)
    images = task.train.images(scorer.image_size, distinct)
    prepared = scorer.prepare(images, draws_of_distinct.reshape(support_sets.shape))
    support_hashes, facts = _hashes(task, distinct, support_sets), _facts(scorer, task)
    pixel_aurocs = None
    if protocol == "official":
        scores, tested = official_scores(scorer, task, prepared, progress)
    else:
        with_pixels = pixel and task.test.has_masks
        scores, pixel_aurocs = _score_all(scorer, task, prepared, batch_size, with_pixels, progress)
        tested = np.arange(len(task.test))
    return EvaluationReport(
        task=task.name,
        method=scorer.name,
        protocol=protocol,
        shots=support_sets.shape[1],
        seed=seed,
        labels=np.asarray(task.test.labels)[tested],
        names=[task.test.names[i] for i in tested],
        groups=[task.test.groups[i] for i in tested],
        scores=scores,
        supports=support_sets,
        support_hashes=support_hashes,
        pixel_aurocs=pixel_aurocs,
        facts=facts,
    )


def require_measurable(
    model: D24FAD | Scorer,
    task: Task,
    shots: int = 4,
    draws: int = 10,
    seed: int = 0,
    *,
    protocol: str = "per-image",
    batch_size: int = 32,
    supports: np.ndarray | Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Refuse what `evaluate` would refuse of these arguments, before the first of several evaluations is begun.

    Returns the support sets, int64 [draws, K]: positions in `task.train`. Parameters and errors as of `evaluate`.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(choose_one_of("protocol", protocol, PROTOCOLS))
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} must be at least 1")
    require_shots(task, shots, query=False)
    require_both_classes(task)
    require_disjoint(task)
    if protocol == "official":
        require_raw_maps(as_scorer(model))
        whole_batches(task)
    return _support_sets(task, shots, draws, seed, supports)


def _score_all(
    scorer: Scorer, task: Task, prepared: Any, batch_size: int, pixel: bool, progress: bool
) -> tuple[np.ndarray, list[float] | None]:
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
        # A scorer's maps may lie anywhere, and the range must stand before the rest of them is seen.
        meters = meters or [PixelAuroc(*_histogram_range(m)) for m in batch.maps]
        for meter, maps in zip(meters, batch.maps, strict=True):
            meter.add(maps[known], np.asarray(masks))
    scores = np.concatenate(blocks, axis=1)
    values = [meter.value for meter in meters] if meters else []
    return scores, [v for v in values if v is not None] if values and None not in values else None


def _histogram_range(maps: np.ndarray) -> tuple[float, float]:
    """Five times the range of the first batch's maps: once that range below it, three times above it.

    There is more room above because the first images may all be normal and later ones anomalous. Values that lie
    outside all the same count in the first or the last step of the histogram.
    """
    low, high = float(maps.min()), float(maps.max())
    return low - (high - low), high + 3 * (high - low)


def _batches(task: Task, size: int, batch_size: int, progress: bool) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Positions in the test set, and the images at them."""
    starts = range(0, len(task.test), batch_size)
    for start in tqdm(starts, desc=f"evaluate {printable(task.name)}", disable=not progress, leave=False):
        indices = np.arange(start, min(start + batch_size, len(task.test)))
        yield indices, task.test.images(size, indices)


def _support_sets(
    task: Task, shots: int, draws: int, seed: int, own: np.ndarray | Sequence[Sequence[int]] | None
) -> np.ndarray:
    """Positions [D, K] in `task.train`: the caller's own, else drawn."""
    if own is None:
        return draw_supports(len(task.train), shots, draws, seed)
    sets = np.asarray(own, dtype=np.int64)
    if sets.ndim != 2 or sets.size == 0 or sets.min() < 0 or sets.max() >= len(task.train):
        raise ValueError(
            f"supports must be [draws, K] positions from 0 to {len(task.train) - 1} in the normal "
            f"training images of {task.name!r}, got shape {sets.shape}"
        )
    return sets


def _hashes(task: Task, distinct: np.ndarray, support_sets: np.ndarray) -> list[list[str]]:
    """sha256 of the file of each support, [D][K]."""
    by_position = dict(zip(distinct.tolist(), task.train.hashes(distinct), strict=True))
    return [[by_position[i] for i in one_set] for one_set in support_sets.tolist()]


def _facts(scorer: Scorer, task: Task) -> dict[str, Any]:
    """What a reader of the numbers must know of the scorer and of the task."""
    facts: dict[str, Any] = {"scorer": type(scorer).__name__}
    if task.left_out:  # a result speaks of the images that were read; its reader must know of the others
        facts["left_out"] = [item.sentence(task.root) for item in task.left_out]
        facts["files_left_out"] = sum(item.count for item in task.left_out)
    teacher = scorer.model.teacher if isinstance(scorer, DetectorScorer) else getattr(scorer, "teacher", None)
    if isinstance(teacher, SharedTeacher):
        teacher = teacher.teacher
    if isinstance(teacher, Teacher):
        facts |= {
            "teacher": teacher.fingerprint(),
            "weights_source": teacher.weights_source.to_dict(),
            "device": str(teacher.mean.device),
            "torch_threads": torch.get_num_threads(),
            "folding": {"teacher": folded_norms(teacher.backbone)},
        }
    if isinstance(scorer, DetectorScorer):
        config = scorer.model.config
        facts |= {"config": config.to_dict(), "reading": config.reading_name, "precision": scorer.precision}
        facts["folding"]["student"] = folded_norms(scorer.model.student)
    return facts
