"""What every detector can do, D²4FAD and baselines alike: look at supports once, then score images one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor

from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.features import Positions, Prediction
from d24fad_lite.model.teacher import Teacher


class Bank(Protocol):
    """What a detector keeps of K supports; its length is K."""

    def __len__(self) -> int: ...

    def select(self, positions: Positions) -> Self:
        """The bank of some of the supports, in the given order."""

    @classmethod
    def join(cls, banks: Sequence[Self]) -> Self:
        """One bank of several, in order."""


@runtime_checkable
class Detector(Protocol):
    """A few-shot detector: `d2.D24FAD`, `d2.NearestPatchDetector`, and the like.

    Attributes
    ----------
    method : str
        Its name on the command line, such as "d24fad".
    config : D24FADConfig
        Teacher, weights, image size, image score, blur; a baseline ignores the switches that are not its own.
    teacher : Teacher
    """

    method: str
    config: D24FADConfig
    teacher: Teacher

    def encode_supports(self, images: Tensor) -> Any:
        """What is kept of normal reference images [K, 3, S, S] in 0..1: a `Bank`."""

    def predict(self, queries: Tensor, bank: Any) -> Prediction:
        """Scores, anomaly maps and support weights of images [B, 3, S, S] in 0..1, each by itself."""

    def fingerprint(self) -> str:
        """sha256 over all that a score depends on beside the images."""

    def save(self, path: str | Path, **metadata: Any) -> Path:
        """Write the whole detector to one file, from which `d2.load_detector` reads it."""
