"""The usual set of methods to compare with: everything that needs no further training, around one teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.baselines.variants import (
    DetectorVariant,
    SelfDistillationOnly,
    TeacherStudentOnly,
    UntrainedStudent,
)
from d24fad_lite.evaluation.scorer import Scorer
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.detector import D24FAD


def standard_baselines(model: D24FAD, *, levels: Sequence[int] | None = None, maps: bool = True) -> dict[str, Scorer]:
    """The method and every baseline that needs no further training, around one shared teacher.

    Parameters
    ----------
    model : D24FAD
    levels : sequence of int, optional
        Levels of the teacher in which nearest patches are compared, see `NearestPatch`.
    maps : bool, default True
        Whether the scorers give anomaly maps.

    Returns
    -------
    dict from name to Scorer
        D²4FAD, its two residuals alone, the untrained student, nearest patch (max and mean), mean feature.
    """
    teacher = SharedTeacher(model)
    options: dict[str, Any] = {"teacher": teacher, "maps": maps}
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
