"""Ablations: a trained detector read in another way, or without its training, as scorers for `evaluate`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from d24fad_lite.evaluation.scorer import DetectorScorer
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import QueryFeatures, SupportBank


class DetectorVariant(DetectorScorer):
    """A D24FAD read in another way, without training it anew: its parameters are shared, the given model is untouched.

    Parameters
    ----------
    model : D24FAD
    name : str
        Shown in reports and tables.
    teacher : SharedTeacher, optional
        Of the same teacher; then images known to it are not encoded again.
    maps : bool, default True
        False saves memory where only scores are needed.
    reading : str, optional
        One of `READINGS`, such as "matched".
    changes
        Settings of `READ_AT_SCORING`, such as `map_source="both"` or `weighting="mean"`.

    Raises
    ------
    ValueError
        A shared teacher of another model, an unknown reading, a setting that does not act on a trained model.
    """

    def __init__(
        self,
        model: D24FAD,
        name: str,
        *,
        teacher: SharedTeacher | None = None,
        maps: bool = True,
        reading: str | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(model.read_as(reading, **changes), name, maps=maps)
        self.teacher = teacher or SharedTeacher(model)
        if self.teacher.teacher is not model.teacher:
            raise ValueError(f"{name!r}: the shared teacher is not the model's own; build it with SharedTeacher(model)")

    def _supports(self, images: Tensor) -> SupportBank:
        return self.model.encode_supports(self.teacher(images))

    def _queries(self, images: Tensor) -> QueryFeatures:
        return self.model.encode_queries(self.teacher(images))


class TeacherStudentOnly(DetectorVariant):
    """Only the residual between teacher and student. Faithful with a model trained by `teacher_student_only`.

    Parameters as for `DetectorVariant`.
    """

    def __init__(self, model: D24FAD, name: str = "teacher-student only", **options: Any) -> None:
        super().__init__(model, name, map_source="tsd", **options)


class SelfDistillationOnly(DetectorVariant):
    """Only the residual between query and supports. Faithful with a model trained by `self_distillation_only`.

    Parameters as for `DetectorVariant`.
    """

    def __init__(self, model: D24FAD, name: str = "self-distillation only", **options: Any) -> None:
        super().__init__(model, name, map_source="ssd", **options)


class UntrainedStudent(DetectorVariant):
    """The same detector before any training: what the architecture and the supports give by themselves.

    Parameters
    ----------
    model : D24FAD
        The trained one; its `untrained_twin` is scored.
    name : str, default "untrained student"
        Shown in reports and tables.
    options
        As of `DetectorVariant`: `teacher`, `maps`, `reading` and settings of `READ_AT_SCORING`.
    """

    def __init__(self, model: D24FAD, name: str = "untrained student", **options: Any) -> None:
        super().__init__(untrained_twin(model), name, **options)


def teacher_student_only(config: D24FADConfig) -> D24FADConfig:
    """Settings for training by teacher-student distillation alone, and for reading only its residual."""
    return config.replace(lambda_ssd=0.0, lambda_tsd=1.0, map_source="tsd")


def self_distillation_only(config: D24FADConfig) -> D24FADConfig:
    """Settings for training by self-distillation alone, and for reading only its residual."""
    return config.replace(lambda_ssd=1.0, lambda_tsd=0.0, map_source="ssd")


def untrained_twin(model: D24FAD) -> D24FAD:
    """The detector as it was before training: the same teacher and settings, initial student and learn-to-weight.

    Parameters
    ----------
    model : D24FAD
        Left untouched; its teacher is shared with the twin.

    Returns
    -------
    D24FAD, on the model's device
    """
    return D24FAD(model.config, model.teacher).to(model.teacher.mean.device)
