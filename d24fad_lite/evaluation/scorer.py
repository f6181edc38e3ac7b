"""What can be evaluated: a scorer looks at the supports of several draws, then at test images, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import QueryFeatures, SupportBank
from d24fad_lite.model.speed.precision import usable_precision

SUPPORT_BATCH = 32  # supports that are encoded at once


class ScoredBatch(NamedTuple):
    """What a scorer gives for one batch of B test images and each of D draws of supports.

    Attributes
    ----------
    scores : float [D, B], higher is more anomalous
    maps : float [D, B, S, S], or None for scorers without maps
    """

    scores: np.ndarray
    maps: np.ndarray | None


@runtime_checkable
class Scorer(Protocol):
    """A few-shot method that `evaluate` can run; everything it may know of the task are the supports.

    Attributes
    ----------
    name : str, shown in reports and tables
    image_size : int, side in pixels of the images it is given
    """

    name: str
    image_size: int

    def prepare(self, images: Tensor, draws: np.ndarray) -> Any:
        """Look at the distinct supports [U, 3, S, S] once; `draws` [D, K] are positions among them.

        Whatever it returns is passed to `score`.
        """

    def score(self, images: Tensor, prepared: Any) -> ScoredBatch:
        """Scores (and maps) of test images [B, 3, S, S] for each draw; each image by itself."""


@runtime_checkable
class RawMapScorer(Scorer, Protocol):
    """A scorer that also gives anomaly maps before the blur: what the released code's protocol blurs in its own way."""

    model: D24FAD

    def raw_maps(self, images: Tensor, prepared: Any) -> np.ndarray:
        """Maps [D, B, S, S] of test images [B, 3, S, S], before the blur."""


@runtime_checkable
class HasScorer(Protocol):
    """A detector that says itself how `evaluate` reads it, as the baselines do."""

    def scorer(self, maps: bool = True) -> Scorer:
        """This detector for many draws of supports at once."""


class DrawnBanks:
    """The support banks of D draws, each cut from one bank of all supports when it is asked for.

    Memory holds each distinct support once, and the bank of one draw.

    Parameters
    ----------
    bank : SupportBank of the U distinct supports
    draws : int [D, K], positions among them
    """

    def __init__(self, bank: SupportBank, draws: np.ndarray) -> None:
        self.bank, self.draws = bank, draws

    def __len__(self) -> int:
        return len(self.draws)

    def __iter__(self) -> Iterator[SupportBank]:
        return (self.bank.select(positions) for positions in self.draws)


class DetectorScorer:
    """A D24FAD as a scorer: supports and queries are encoded once, however many draws there are.

    Parameters
    ----------
    model : D24FAD
    name : str, default "d24fad"
        Shown in reports and tables.
    precision : {"fp32", "bf16"}
        Of the convolutions of teacher and student. The attribute says which one runs, see `usable_precision`.
    maps : bool, default True
        Whether `score` returns anomaly maps; False saves memory where only scores are needed.
    """

    def __init__(self, model: D24FAD, name: str = "d24fad", precision: str = "fp32", maps: bool = True) -> None:
        self.model, self.name, self.image_size, self.maps = model, name, model.config.image_size, maps
        self.precision = usable_precision(precision, model.teacher.mean.device)

    def prepare(self, images: Tensor, draws: np.ndarray) -> DrawnBanks:
        """The banks of the draws [D, K] of supports [U, 3, S, S]."""
        return DrawnBanks(SupportBank.join([self._supports(part) for part in images.split(SUPPORT_BATCH)]), draws)

    def score(self, images: Tensor, prepared: DrawnBanks) -> ScoredBatch:
        """Scores [D, B] and maps [D, B, S, S] of test images [B, 3, S, S]."""
        queries = self._queries(images)
        scores, maps = [], []
        for bank in prepared:
            prediction = self.model.predict(queries, bank)
            scores.append(prediction.score.cpu().numpy())
            if self.maps:
                maps.append(prediction.anomaly_map.cpu().numpy())
        return ScoredBatch(np.stack(scores), np.stack(maps) if maps else None)

    def raw_maps(self, images: Tensor, prepared: DrawnBanks) -> np.ndarray:
        """Maps before the blur [D, B, S, S], for the released code's protocol."""
        queries = self._queries(images)
        return np.stack([self.model.raw_map(queries, bank).cpu().numpy() for bank in prepared])

    def _supports(self, images: Tensor) -> SupportBank:
        return self.model.encode_supports(images, self.precision)

    def _queries(self, images: Tensor) -> QueryFeatures:
        return self.model.encode_queries(images, self.precision)


def as_scorer(model: D24FAD | HasScorer | Scorer, precision: str = "fp32", reading: str | None = None) -> Scorer:
    """A detector as a scorer, a D24FAD named by its reading where one is given; a scorer is returned as it is.

    Raises ValueError for anything else, and for a precision or reading asked of a scorer that is not a D24FAD.
    """
    if isinstance(model, D24FAD):
        if reading is None:
            return DetectorScorer(model, precision=precision)
        return DetectorScorer(model.read_as(reading), f"D²4FAD, {reading}", precision)
    if not isinstance(model, (Scorer, HasScorer)):
        raise ValueError(
            "model must be a D24FAD or a scorer (an object with name, image_size, prepare and score), "
            f"got {type(model).__name__}"
        )
    if reading is not None:
        raise ValueError(f"reading={reading!r} is for a D24FAD; {type(model).__name__} reads in its own way")
    if precision != "fp32":
        raise ValueError(f"precision={precision!r} is for a D24FAD; {type(model).__name__} computes in its own way")
    return model.scorer() if isinstance(model, HasScorer) else model
