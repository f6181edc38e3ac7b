"""What one support does to the result: left out, or replaced by an image that should not be there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..data.benchmark import Task, require_both_classes
from ..data.episodes import draw_supports
from ..model.anomaly_map import gaussian_blur
from ..model.config import CHOICES
from ..model.detector import D24FAD
from .baselines import DetectorVariant
from .metrics import image_auroc
from .scorer import Scorer, as_scorer
from .shared_teacher import SharedTeacher

if TYPE_CHECKING:
    import pandas as pd

CONTAMINANTS = ("anomaly", "other organ", "duplicate", "blurred", "inverted")
BLUR_SIDES = 1 / 32  # sigma of the blurred contaminant, in sides of the image


def by_weighting(model: D24FAD) -> dict[str, DetectorVariant]:
    """The model read with each weighting of the supports, around one shared teacher."""
    teacher = SharedTeacher(model)
    return {kind: DetectorVariant(model, kind, teacher=teacher, maps=False, weighting=kind)
            for kind in CHOICES["weighting"]}


def support_influence(model: D24FAD | Scorer, supports: Tensor, queries: Tensor, labels: np.ndarray | None = None,
                      *, batch_size: int = 32) -> pd.DataFrame:
    """What changes when one support is left out; one row per support.

    Parameters
    ----------
    supports : [K, 3, S, S] in 0..1, at least 2. queries : [N, 3, S, S]; any images of the task, also unlabelled.
    labels : int [N], optional.

    Returns
    -------
    DataFrame with columns support; shift (mean absolute change of a query's score, in standard deviations of the
    scores with all supports); and with labels `auroc without` and `effect` (AUROC with all less AUROC without it:
    negative where the set is better off without).
    """
    import pandas as pd

    count = len(supports)
    if count < 2:
        raise ValueError(f"influence needs at least 2 supports, one stays when the other is left out; got {count}")
    scorer = as_scorer(model)
    fewer = np.array([[j for j in range(count) if j != i] for i in range(count)])  # (K, K - 1)
    every = np.arange(count)[None]
    full = _scores(scorer, supports, every, queries.split(batch_size))[0]
    without = _scores(scorer, supports, fewer, queries.split(batch_size))
    spread = max(float(full.std()), np.finfo(np.float32).tiny)
    frame = pd.DataFrame({"support": range(count), "shift": np.abs(without - full).mean(axis=1) / spread})
    if labels is not None:
        frame["auroc without"] = [image_auroc(labels, row) for row in without]
        frame["effect"] = image_auroc(labels, full) - frame["auroc without"]
    return frame


def contamination_experiment(scorers: Mapping[str, D24FAD | Scorer], task: Task, other: Task, shots: int = 4,
                             draws: int = 10, seed: int = 0, *, batch_size: int = 32) -> pd.DataFrame:
    """Image AUROC when one of K supports, at a random place, is replaced by something that should not be there.

    A planted anomaly is a test image; it is left out of that draw's AUROC, for the clean set as well.

    Parameters
    ----------
    scorers : by name, for example `by_weighting(model)`. other : a task of another organ.

    Returns
    -------
    DataFrame, one row per scorer and contaminant: method, contaminant, clean and contaminated AUROC (means over
    draws), change, its standard error over draws, K, draws.
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
            both = np.concatenate([planted.clean, planted.replaced])
            scores = _scores(scorer, planted.images, both, _test_batches(task, scorer.image_size, batch_size))
            aurocs = np.array([_auroc_without(task.test.labels, row, gone) for row, gone in
                               zip(scores, [*planted.left_out, *planted.left_out], strict=True)]).reshape(2, draws)
            change = aurocs[1] - aurocs[0]
            error = float(change.std(ddof=1) / draws**0.5) if draws > 1 else float("nan")
            rows.append({"method": name, "contaminant": planted.kind, "clean": aurocs[0].mean(),
                         "contaminated": aurocs[1].mean(), "change": change.mean(), "standard error": error,
                         "K": shots, "draws": draws})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Planted:
    """Distinct supports and contaminants [U + D, 3, S, S]; positions among them of the clean and the replaced sets."""

    kind: str
    images: Tensor
    clean: np.ndarray  # [D, K]
    replaced: np.ndarray  # [D, K]
    left_out: list[list[int]]  # per draw, test images that are in the set


def _contaminated(task: Task, other: Task, sets: np.ndarray, seed: int, size: int) -> Iterator[_Planted]:
    unique, places = np.unique(sets, return_inverse=True)
    clean, (draws, shots) = places.reshape(sets.shape), sets.shape
    supports = task.train.images(size, unique)
    rng = np.random.default_rng([seed, 99])  # the same places and anomalies for every scorer
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
        "duplicate": lambda: neighbours, "inverted": lambda: 1 - victims,
        "blurred": lambda: gaussian_blur(victims.flatten(0, 1), BLUR_SIDES * size).view_as(victims),
    }
    for kind in CONTAMINANTS:
        left_out = [[int(i)] if kind == "anomaly" else [] for i in anomalies]
        yield _Planted(kind, torch.cat([supports, made[kind]()]), clean, replaced, left_out)


def _scores(scorer: Scorer, images: Tensor, draws: np.ndarray, queries: Iterable[Tensor]) -> np.ndarray:
    """Scores [D, N] of batches of queries."""
    prepared = scorer.prepare(images, draws)
    return np.concatenate([scorer.score(part, prepared).scores for part in queries], axis=1).astype(np.float64)


def _test_batches(task: Task, size: int, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(task.test), batch_size):
        yield task.test.images(size, np.arange(start, min(start + batch_size, len(task.test))))


def _auroc_without(labels: np.ndarray, scores: np.ndarray, gone: list[int]) -> float:
    return image_auroc(np.delete(labels, gone), np.delete(scores, gone))
