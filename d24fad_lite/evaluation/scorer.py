"""What can be evaluated: a scorer looks at the supports of several draws, then at test images, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from ..model.detector import D24FAD
from ..model.features import SupportBank
from ..model.folding import usable_precision


class ScoredBatch(NamedTuple):
    """What a scorer says of one batch of test images, for each draw of supports."""

    scores: np.ndarray  # [D, B], higher is more anomalous
    maps: np.ndarray | None  # [D, B, S, S], or None for scorers without maps


@runtime_checkable
class Scorer(Protocol):
    """A few-shot method that `evaluate` can run; everything it may know of the task are the supports."""

    name: str
    image_size: int

    def prepare(self, images: Tensor, draws: np.ndarray) -> Any:
        """Look at the distinct supports [U, 3, S, S] once; `draws` [D, K] are positions among them."""

    def score(self, images: Tensor, prepared: Any) -> ScoredBatch:
        """Scores (and maps) of test images [B, 3, S, S] for each draw; each image by itself."""


class DrawnBanks:
    """The banks of several draws, cut when asked for: memory holds each distinct support once, and one draw's bank."""

    def __init__(self, bank: SupportBank, draws: np.ndarray) -> None:
        self.bank, self.draws = bank, draws

    def __len__(self) -> int:
        return len(self.draws)

    def __iter__(self) -> Iterator[SupportBank]:
        return (self.bank.select(row) for row in self.draws)


class DetectorScorer:
    """A D24FAD as a scorer: supports and queries are encoded once, however many draws there are.

    precision : "fp32" or "bf16", of the convolutions of teacher and student; then the one that runs, see
        `usable_precision`.
    """

    def __init__(self, model: D24FAD, name: str = "d24fad", precision: str = "fp32") -> None:
        self.model, self.name, self.image_size = model, name, model.config.image_size
        self.precision = usable_precision(precision, model.teacher.mean.device)

    def prepare(self, images: Tensor, draws: np.ndarray) -> DrawnBanks:
        parts = [self.model.encode_supports(part, self.precision) for part in images.split(32)]
        return DrawnBanks(SupportBank.join(parts), draws)

    def score(self, images: Tensor, prepared: DrawnBanks) -> ScoredBatch:
        queries = self.model.encode_queries(images, self.precision)
        predictions = [self.model.predict(queries, bank) for bank in prepared]
        return ScoredBatch(np.stack([p.score.cpu().numpy() for p in predictions]),
                           np.stack([p.anomaly_map.cpu().numpy() for p in predictions]))

    def raw_maps(self, images: Tensor, prepared: DrawnBanks) -> np.ndarray:
        """Maps before the blur [D, B, S, S], for the released code's protocol."""
        queries = self.model.encode_queries(images, self.precision)
        return np.stack([self.model.raw_map(queries, bank).cpu().numpy() for bank in prepared])


def as_scorer(model: D24FAD | Scorer, precision: str = "fp32", reading: str | None = None) -> Scorer:
    """A D24FAD wrapped in a `DetectorScorer`, named by its reading where one is given; a scorer is returned as it is.

    Raises ValueError for anything else, and for a precision or reading asked of a scorer that is not a D24FAD.
    """
    if isinstance(model, D24FAD):
        if reading is None:
            return DetectorScorer(model, precision=precision)
        return DetectorScorer(model.read_as(reading), f"D²4FAD, {reading}", precision)
    if not isinstance(model, Scorer):
        raise ValueError("model must be a D24FAD or a scorer (an object with name, image_size, prepare and score), "
                         f"got {type(model).__name__}")
    if reading is not None:
        raise ValueError(f"reading={reading!r} is for a D24FAD; {type(model).__name__} reads in its own way")
    if precision != "fp32":
        raise ValueError(f"precision={precision!r} is for a D24FAD; {type(model).__name__} computes in its own way")
    return model
