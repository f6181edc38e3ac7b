"""Simple methods and ablations behind the interface of `evaluate`: same draws, same metrics, same table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.config import READ_AT_SCORING as READ_AT_SCORING
from ..model.config import D24FADConfig
from ..model.detector import D24FAD
from ..model.features import SupportBank
from ..model.teacher import Teacher
from .nearest_patch import NearestPatch
from .scorer import DetectorScorer, ScoredBatch, Scorer
from .shared_teacher import SharedTeacher, shared


class MeanFeature:
    """Distance of the image's mean teacher features to the mean of the supports': one vector per image, no map.

    Each level is averaged over its positions and brought to unit length; levels count the same.

    Parameters
    ----------
    teacher : SharedTeacher, Teacher or D24FAD
    levels : positions among the teacher's levels; default all.
    """

    def __init__(self, teacher: SharedTeacher | Teacher | D24FAD, levels: Sequence[int] | None = None,
                 name: str = "mean feature") -> None:
        self.teacher, self.name = shared(teacher), name
        self.image_size = self.teacher.image_size
        self.levels = list(levels) if levels is not None else list(range(len(self.teacher.teacher.channels)))

    def vectors(self, images: Tensor) -> Tensor:
        """[N, sum C_l] of images [N, 3, S, S]."""
        levels = self.teacher(images).levels
        return torch.cat([F.normalize(levels[i].mean(dim=(2, 3)), dim=1) for i in self.levels], dim=1)

    def prepare(self, images: Tensor, draws: np.ndarray) -> Tensor:
        vectors = torch.cat([self.vectors(part) for part in images.split(32)])
        return vectors[torch.from_numpy(draws)].mean(dim=1)  # (D, C)

    def score(self, images: Tensor, prepared: Tensor) -> ScoredBatch:
        return ScoredBatch(torch.cdist(prepared, self.vectors(images)).cpu().numpy(), None)


class DetectorVariant(DetectorScorer):
    """A D24FAD read in another way, without training it anew: its parameters are shared, the given model is untouched.

    Parameters
    ----------
    model : D24FAD
    name : shown in tables.
    teacher : SharedTeacher, optional, of the same teacher; then images known to it are not encoded again.
    maps : False saves memory where only scores are needed.
    reading : one of `READINGS`, such as "matched".
    changes : settings of `READ_AT_SCORING`, such as `map_source="both"` or `weighting="mean"`.
    """

    def __init__(self, model: D24FAD, name: str, *, teacher: SharedTeacher | None = None, maps: bool = True,
                 reading: str | None = None, **changes: Any) -> None:
        super().__init__(model.read_as(reading, **changes), name)
        self.teacher, self.maps = teacher or SharedTeacher(model), maps
        if self.teacher.teacher is not model.teacher:
            raise ValueError(f"{name!r}: the shared teacher is not the model's own; build it with SharedTeacher(model)")

    def prepare(self, images: Tensor, draws: np.ndarray) -> list[SupportBank]:
        bank = SupportBank.join([self.model.encode_supports(self.teacher(part)) for part in images.split(32)])
        return [bank.select(row) for row in draws]

    def score(self, images: Tensor, prepared: list[SupportBank]) -> ScoredBatch:
        queries = self.model.encode_queries(self.teacher(images))
        scores, maps = [], []
        for bank in prepared:
            prediction = self.model.predict(queries, bank)
            scores.append(prediction.score.cpu().numpy())
            if self.maps:
                maps.append(prediction.anomaly_map.cpu().numpy())
        return ScoredBatch(np.stack(scores), np.stack(maps) if maps else None)

    def raw_maps(self, images: Tensor, prepared: list[SupportBank]) -> np.ndarray:
        queries = self.model.encode_queries(self.teacher(images))
        return np.stack([self.model.raw_map(queries, bank).cpu().numpy() for bank in prepared])


class TeacherStudentOnly(DetectorVariant):
    """Only the residual between teacher and student. Faithful with a model trained by `teacher_student_only`."""

    def __init__(self, model: D24FAD, name: str = "teacher-student only", **options: Any) -> None:
        super().__init__(model, name, map_source="tsd", **options)


class SelfDistillationOnly(DetectorVariant):
    """Only the residual between query and supports. Faithful with a model trained by `self_distillation_only`."""

    def __init__(self, model: D24FAD, name: str = "self-distillation only", **options: Any) -> None:
        super().__init__(model, name, map_source="ssd", **options)


class UntrainedStudent(DetectorVariant):
    """The same detector before any training: what the architecture and the supports give by themselves."""

    def __init__(self, model: D24FAD, name: str = "untrained student", **options: Any) -> None:
        super().__init__(untrained(model), name, **options)


def teacher_student_only(config: D24FADConfig) -> D24FADConfig:
    """Settings for training by teacher-student distillation alone, and for reading only its residual."""
    return config.replace(lambda_ssd=0.0, lambda_tsd=1.0, map_source="tsd")


def self_distillation_only(config: D24FADConfig) -> D24FADConfig:
    """Settings for training by self-distillation alone, and for reading only its residual."""
    return config.replace(lambda_ssd=1.0, lambda_tsd=0.0, map_source="ssd")


def untrained(model: D24FAD) -> D24FAD:
    """A detector with the same teacher and settings, and initial student and learn-to-weight weights."""
    return D24FAD(model.config, model.teacher).to(model.teacher.mean.device)


def variant(model: D24FAD, **changes: Any) -> D24FAD:
    """The model with other settings of `READ_AT_SCORING`: `D24FAD.read_as` without the name of a reading."""
    return model.read_as(**changes)


def standard_baselines(model: D24FAD, *, levels: Sequence[int] | None = None, maps: bool = True) -> dict[str, Scorer]:
    """The method and every baseline that needs no further training, around one shared teacher.

    Keys: D²4FAD, its two readings, the untrained student, nearest patch (max and mean), mean feature.
    """
    teacher = SharedTeacher(model)
    options: dict[str, Any] = dict(teacher=teacher, maps=maps)
    scorers: list[Scorer] = [
        DetectorVariant(model, "D²4FAD", **options),
        TeacherStudentOnly(model, **options),
        SelfDistillationOnly(model, **options),
        UntrainedStudent(model, **options),
        NearestPatch(teacher, levels, "max", maps=maps),
        NearestPatch(teacher, levels, "mean", maps=maps),
        MeanFeature(teacher),
    ]
    return {scorer.name: scorer for scorer in scorers}
