"""Baselines as detectors: saved, loaded, used on a folder and exported as a D24FAD is; nothing is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from d24fad_lite.evaluation.baselines.banks import VectorBank
from d24fad_lite.evaluation.scorer import Scorer
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.features import Prediction
from d24fad_lite.model.image_input import check_images, require_supports
from d24fad_lite.model.storage import (
    StoredDetector,
    config_of,
    fingerprint_of,
    possible_settings,
    read_detector,
    require_options,
    write_detector,
)
from d24fad_lite.model.stored_teacher import stored_teacher
from d24fad_lite.model.teacher import Teacher

ENCODED_AT_ONCE = 32  # supports


class BaselineDetector(nn.Module, ABC):
    """What the baselines share: a frozen teacher, settings, one file.

    Parameters
    ----------
    config : D24FADConfig, optional
        Of it a baseline reads `teacher`, `weights`, `image_size`, `normalize`, `image_score`, `top_share`, `blur_sigma`
        and `seed` (of random weights).
    teacher : Teacher, optional
        One that was built with these settings, to share it; default: one of its own.
    levels : sequence of int, optional
        Positions among the teacher's levels, 0 the finest; default: the baseline's own choice.

    Attributes
    ----------
    levels : list of int
    """

    method: ClassVar[str]
    bank: ClassVar[type[VectorBank]] = VectorBank
    teacher: Teacher

    def __init__(
        self,
        config: D24FADConfig | None = None,
        teacher: Teacher | None = None,
        levels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.config = c = config or D24FADConfig()
        self.teacher = teacher or Teacher(c.teacher, c.weights, c.image_size, c.normalize, c.seed)
        if self.teacher.image_size != c.image_size:
            raise ValueError(
                f"the given teacher takes images of {self.teacher.image_size} px, the settings say {c.image_size} px"
            )
        self.levels = self._levels(levels)

    def encode_supports(self, images: Tensor) -> VectorBank:
        """What is kept of supports [K, 3, S, S] in 0..1; the bank's length is K.

        Raises
        ------
        ValueError : no image, or images that are not of this shape and range.
        """
        require_supports(images)
        return VectorBank(torch.cat([self.vectors(part, "supports") for part in images.split(ENCODED_AT_ONCE)]))

    @abstractmethod
    def predict(self, queries: Tensor, bank: VectorBank) -> Prediction:
        """Scores [B], anomaly maps [B, S, S] and support weights [B, 1, K] of B queries, each by itself.

        Raises
        ------
        ValueError : images that are not of shape [B, 3, S, S], float, in 0..1.
        """

    def require_own(self, bank: VectorBank) -> None:
        """Raise ValueError for a bank of another kind of method."""
        if type(bank) is not self.bank:
            raise ValueError(
                f"{type(bank).__name__} is another method's, {self.method} needs a {self.bank.__name__}; encode the "
                "supports with this detector"
            )

    @abstractmethod
    def vectors(self, images: Tensor, role: str = "images") -> Tensor:
        """What is compared: one row of vectors for each image [N, 3, S, S] in 0..1."""

    @abstractmethod
    def scorer(self, maps: bool = True) -> Scorer:
        """This method for `evaluate`, which reads many draws of supports at once."""

    def fingerprint(self) -> str:
        """sha256 over method, settings and teacher: equal detectors give equal scores."""
        return fingerprint_of(self._settings(), self.teacher.fingerprint(), {})

    def save(self, path: str | Path, **metadata: Any) -> Path:
        """Write settings and, unless the package ships it, the teacher to one safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or Path; folders above it are made.
        metadata : further facts that the file is to hold, fit for JSON.
        """
        settings, own = self.config.to_dict(), {"levels": self.levels}
        facts = self.teacher.facts()
        return write_detector(path, settings, self.state_dict(), facts, metadata, method=self.method, options=own)

    @classmethod
    def load(cls, path: str | Path, teacher: nn.Module | None = None) -> Self:
        """Read a detector written by `save`; its teacher must come out exactly as it was saved.

        Parameters
        ----------
        path : str or Path
        teacher : nn.Module, optional
            Where the detector was built on a module of your own: that module; its tensors come from the file.

        Raises
        ------
        FileNotFoundError, CheckpointError : no file, no file of this method, or another teacher.
        """
        return cls.from_stored(read_detector(path, cls.method), teacher)

    @classmethod
    def from_stored(cls, stored: StoredDetector, teacher: nn.Module | None = None) -> Self:
        """The detector of a file that has been read; parameters and errors as of `load`."""
        require_options(stored, ("levels",))
        config = config_of(stored, teacher)
        with possible_settings(stored.path):
            return cls(config, stored_teacher(stored, config, teacher), **stored.options)

    def _settings(self) -> dict[str, Any]:
        return {**self.config.to_dict(), "method": self.method, "levels": self.levels}

    @abstractmethod
    def _levels(self, levels: Sequence[int] | None) -> list[int]:
        """The levels that are compared; ValueError for one that the teacher does not have."""

    def _teacher_levels(self, images: Tensor, role: str) -> list[Tensor]:
        """The compared levels of images [N, 3, S, S], once they are known to be fit."""
        check_images(images, self.config.image_size, role, check_range=True)
        levels = self.teacher.first_levels(images.to(self.teacher.device, self.teacher.dtype), max(self.levels) + 1)
        return [levels[i] for i in self.levels]
