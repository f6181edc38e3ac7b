"""What a frozen teacher is worth before anything is trained: nearest support patch in its features, task by task.

The probe needs no student, so it compares teachers and nothing else. It looks at test images, so no recipe may choose
by it on the images that it is later judged on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.data.benchmark import Task
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.evaluation.uncertainty.paired import compare_paired
from d24fad_lite.model.teacher import Teacher

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("max", "mean")
MEAN = "mean of tasks"


class TeacherProbe:
    """Reports of several teachers on the same tasks, draws and test images.

    Parameters
    ----------
    reports : dict from (teacher, score, task) to EvaluationReport
        `score`, "max" or "mean", says how patch distances become an image score.

    Attributes
    ----------
    teachers, scores, tasks : list of str, in the order of the reports
    """

    def __init__(self, reports: dict[tuple[str, str, str], EvaluationReport]) -> None:
        self.reports = reports
        self.teachers, self.scores, self.tasks = (list(dict.fromkeys(key[i] for key in reports)) for i in range(3))

    def to_frame(self) -> pd.DataFrame:
        """One row per teacher, score and task, and one for the mean of the tasks.

        Columns: teacher, score, task, AUROC, low, high (95 %), K, draws, normal, anomalous. The interval of a mean of
        tasks adds their variances, since their images are independent.
        """
        import pandas as pd

        rows = []
        for teacher in self.teachers:
            for score in self.scores:
                reports = [self.reports[teacher, score, task] for task in self.tasks]
                rows += [_row(teacher, score, r.task, r.auroc, *r.ci, reports=[r]) for r in reports]
                mean, low, high = _mean([(r.auroc, *r.ci) for r in reports])
                rows.append(_row(teacher, score, MEAN, mean, low, high, reports=reports))
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Teachers by tasks as texts "max / mean" (nearest-patch AUROC), as in the teacher's card."""
        values = self.to_frame().set_index(["teacher", "task", "score"])["AUROC"]
        import pandas as pd

        def cell(teacher: str, task: str) -> str:
            return " / ".join(f"{values[teacher, task, score]:.3f}" for score in self.scores)

        cells = {task: {teacher: cell(teacher, task) for teacher in self.teachers} for task in [*self.tasks, MEAN]}
        return pd.DataFrame(cells).loc[self.teachers]

    def difference(self, first: str, second: str, score: str = "mean") -> tuple[float, float, float]:
        """Mean over tasks of AUROC(first) - AUROC(second) with its 95 % interval, paired by draws and images."""
        pairs = [compare_paired(self.reports[first, score, t], self.reports[second, score, t]) for t in self.tasks]
        return _mean([(p.difference, p.low, p.high) for p in pairs])


def probe_teachers(
    teachers: Mapping[str, Teacher],
    tasks: Mapping[str, Task],
    shots: int = 4,
    draws: int = 10,
    seed: int = 0,
    *,
    progress: bool = False,
) -> TeacherProbe:
    """Nearest-support-patch image AUROC of every teacher on every task, under the same draws.

    Parameters
    ----------
    teachers : mapping from the name to show to Teacher
    tasks : mapping from name to Task, such as an opened benchmark
    shots, draws, seed, progress
        As in `evaluate`.

    Returns
    -------
    TeacherProbe

    Raises
    ------
    ValueError
        No teacher or no task, or as `evaluate`.
    """
    if not teachers or not tasks:
        raise ValueError(
            f"probe_teachers() got {len(teachers)} teachers and {len(tasks)} tasks; give at least one of each"
        )
    reports = {}
    for name, teacher in teachers.items():
        memory = SharedTeacher(teacher)
        for task in tasks.values():
            for score in SCORES:
                scorer = NearestPatch(memory, image_score=score, maps=False)
                reports[name, score, task.name] = evaluate(
                    scorer, task, shots, draws, seed, pixel=False, progress=progress
                )
    return TeacherProbe(reports)


def _mean(parts: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Mean of independent estimates (value, low, high): on each side, the squares of the half-widths are added."""
    value, low, high = np.array(parts).T
    count = len(parts)
    down, up = (np.sqrt(np.square(side - value).sum()) / count for side in (low, high))
    return float(value.mean()), float(value.mean() - down), float(value.mean() + up)


def _row(
    teacher: str, score: str, task: str, value: float, low: float, high: float, reports: list[EvaluationReport]
) -> dict[str, object]:
    """One row of the table; images of several reports are added up."""
    return {
        "teacher": teacher,
        "score": score,
        "task": task,
        "AUROC": value,
        "low": low,
        "high": high,
        "K": reports[0].shots,
        "draws": reports[0].draws,
        "normal": sum(r.n_normal for r in reports),
        "anomalous": sum(r.n_anomalous for r in reports),
    }
