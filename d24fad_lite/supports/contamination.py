"""What one support does to the result: when it is left out, or replaced by an image that should not be there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.data.benchmark import Task, require_both_classes
from d24fad_lite.data.supports import draw_supports, leave_one_out
from d24fad_lite.evaluation.baselines.variants import DetectorVariant
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.scorer import Scorer, as_scorer
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.anomaly_map import gaussian_blur
from d24fad_lite.model.config import CHOICES
from d24fad_lite.model.detector import D24FAD

if TYPE_CHECKING:
    import pandas as pd

CONTAMINANTS = ("anomaly", "other organ", "duplicate", "blurred", "inverted")
BLUR_SIDES = 1 / 32  # sigma of the blurred contaminant, in sides of the image


def by_weighting(model: D24FAD) -> dict[str, DetectorVariant]:
    """The model read with each weighting of the supports, around one shared teacher.

    Parameters
    ----------
    model : D24FAD

    Returns
    -------
    dict of str to DetectorVariant
        Name of each weighting -> scorer: learned, mean, nearest, single.
    """
    teacher = SharedTeacher(model)
    return {
        kind: DetectorVariant(model, kind, teacher=teacher, maps=False, weighting=kind) for kind in CHOICES["weighting"]
    }


def support_influence(
    model: D24FAD | Scorer, supports: Tensor, queries: Tensor, labels: np.ndarray | None = None, *, batch_size: int = 32
) -> pd.DataFrame:
    """What changes when one support is left out; one row per support.

    Parameters
    ----------
    model : D24FAD or Scorer
    supports : Tensor, float [K, 3, S, S] in 0..1
        At least 2.
    queries : Tensor, float [N, 3, S, S] in 0..1
        Any images of the task, also unlabelled.
    labels : ndarray, int [N], optional
    batch_size : int
        Queries scored at a time, default 32.

    Returns
    -------
    DataFrame
        Columns: support; shift (mean absolute change of a query's score, in standard deviations of the scores with all
        supports); and with labels `auroc without` and `effect` (AUROC with all supports minus AUROC without this one:
        negative where the set is better off without it).

    Raises
    ------
    ValueError
        Fewer than 2 supports.
    """
    import pandas as pd

    count = len(supports)
    if count < 2:
        raise ValueError(f"influence needs at least 2 supports, one stays when the other is left out; got {count}")
    scorer = as_scorer(model)
    full = _scores(scorer, supports, np.arange(count)[None], queries.split(batch_size))[0]
    without = _scores(scorer, supports, leave_one_out(count), queries.split(batch_size))
    spread = max(float(full.std()), np.finfo(np.float32).tiny)
    frame = pd.DataFrame({"support": range(count), "shift": np.abs(without - full).mean(axis=1) / spread})
    if labels is not None:
        frame["auroc without"] = [image_auroc(labels, row) for row in without]
        frame["effect"] = image_auroc(labels, full) - frame["auroc without"]
    return frame


def contamination_experiment(
    scorers: Mapping[str, D24FAD | Scorer],
    task: Task,
    other: Task,
    shots: int = 4,
    draws: int = 10,
    seed: int = 0,
    *,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Image AUROC when one of K supports, drawn at random, is replaced by something that should not be there.

    A planted anomaly is a test image; it is left out of that draw's AUROC, for the clean set as well.

    Parameters
    ----------
    scorers : mapping of str to D24FAD or Scorer
        By name, for example `by_weighting(model)`.
    task : Task
    other : Task
        A task of another organ, for the contaminant "other organ".
    shots, draws, seed : int
        K, at least 2, default 4; support sets, default 10; their seed.
    batch_size : int
        Test images scored at a time, default 32.

    Returns
    -------
    DataFrame
        One row per scorer and contaminant: method, contaminant, clean and contaminated AUROC (means over draws),
        change, its standard error over draws, K, draws.

    Raises
    ------
    ValueError
        Fewer than 2 shots, too few normal training images, or a test set with one class.
    """
    import pandas as pd

    if shots < 2:
        raise ValueError(f"shots={shots!r}: with fewer than 2 supports a contaminated set holds nothing else")
    require_both_classes(task)
    sets = draw_supports(len(task.train), shots, draws, seed)
    rows = []
    for name, model in scorers.items():
        scorer = as_scorer(model)
        for planted in _contaminated(task, other, sets, seed, scorer.image_size):
            batches = _test_batches(task, scorer.image_size, batch_size)
            clean, contaminated = _clean_and_contaminated(scorer, planted, task.test.labels, batches)
            change = contaminated - clean
            error = float(change.std(ddof=1) / draws**0.5) if draws > 1 else float("nan")
            rows.append(
                {
                    "method": name,
                    "contaminant": planted.kind,
                    "clean": clean.mean(),
                    "contaminated": contaminated.mean(),
                    "change": change.mean(),
                    "standard error": error,
                    "K": shots,
                    "draws": draws,
                }
            )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Planted:
    """Support sets with and without one kind of contaminant.

    images : the distinct supports and, after them, one contaminant per draw [U + D, 3, S, S].
    clean, replaced : positions in `images` of the D sets as drawn, and with one support replaced, each [D, K].
    left_out : per draw, positions of the test images that are in the set and must not be scored.
    """

    kind: str
    images: Tensor
    clean: np.ndarray
    replaced: np.ndarray
    left_out: list[list[int]]


def _clean_and_contaminated(
    scorer: Scorer, planted: _Planted, labels: np.ndarray, batches: Iterable[Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Image AUROC of each draw's clean and contaminated set, [D] and [D], on the same test images."""
    both = np.concatenate([planted.clean, planted.replaced])
    scores = _scores(scorer, planted.images, both, batches)
    left_out = [*planted.left_out, *planted.left_out]
    aurocs = [_auroc_without(labels, row, images) for row, images in zip(scores, left_out, strict=True)]
    clean, contaminated = np.array(aurocs).reshape(2, -1)
    return clean, contaminated


def _contaminated(task: Task, other: Task, sets: np.ndarray, seed: int, size: int) -> Iterator[_Planted]:
    """The support sets [D, K] with each kind of contaminant in turn."""
    unique, positions = np.unique(sets, return_inverse=True)
    clean, (draws, shots) = positions.reshape(sets.shape), sets.shape
    supports = task.train.images(size, unique)
    rng = np.random.default_rng([seed, 99])  # the same supports give way to the same anomalies for every scorer
    slots = rng.integers(shots, size=draws)
    anomalies = rng.choice(np.flatnonzero(task.test.labels == 1), draws)
    strangers = rng.integers(len(other.train), size=draws)
    victims = supports[clean[np.arange(draws), slots]]  # (D, 3, S, S)
    neighbours = supports[clean[np.arange(draws), (slots + 1) % shots]]
    replaced = clean.copy()
    replaced[np.arange(draws), slots] = len(unique) + np.arange(draws)
    made: dict[str, Callable[[], Tensor]] = {
        "anomaly": lambda: task.test.images(size, anomalies),
        "other organ": lambda: other.train.images(size, strangers),
        "duplicate": lambda: neighbours,
        "inverted": lambda: 1 - victims,
        "blurred": lambda: gaussian_blur(victims.flatten(0, 1), BLUR_SIDES * size).view_as(victims),
    }
    for kind in CONTAMINANTS:
        left_out = [[int(i)] if kind == "anomaly" else [] for i in anomalies]
        yield _Planted(kind, torch.cat([supports, made[kind]()]), clean, replaced, left_out)


def _scores(scorer: Scorer, images: Tensor, draws: np.ndarray, queries: Iterable[Tensor]) -> np.ndarray:
    """Scores [D, N] of batches of queries; draws : positions in `images` of D support sets [D, K]."""
    prepared = scorer.prepare(images, draws)
    return np.concatenate([scorer.score(part, prepared).scores for part in queries], axis=1).astype(np.float64)


def _test_batches(task: Task, size: int, batch_size: int) -> Iterator[Tensor]:
    """All test images in their order, [B, 3, S, S] at a time."""
    for start in range(0, len(task.test), batch_size):
        yield task.test.images(size, np.arange(start, min(start + batch_size, len(task.test))))


def _auroc_without(labels: np.ndarray, scores: np.ndarray, left_out: list[int]) -> float:
    return image_auroc(np.delete(labels, left_out), np.delete(scores, left_out))
