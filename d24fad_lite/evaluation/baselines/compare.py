"""Several methods on one task under the same draws, in a table that never leaves out the shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.data.benchmark import Task
from d24fad_lite.evaluation.baselines.shortcuts import SIGN_NOTE, shortcut_reports
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.scorer import Scorer, as_scorer
from d24fad_lite.model.detector import D24FAD

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Reports of methods and of shortcut statistics on the same test images and support sets.

    Attributes
    ----------
    methods : dict of EvaluationReport, by the name given to `compare`
    shortcuts : list of EvaluationReport, one per statistic and direction
    """

    methods: dict[str, EvaluationReport]
    shortcuts: list[EvaluationReport]

    @property
    def best_shortcut(self) -> EvaluationReport:
        """The statistic that separates best, its sign chosen on the test labels: the bar a method has to clear."""
        return max(self.shortcuts, key=lambda report: report.auroc)

    def to_frame(self, *, every_shortcut: bool = True) -> pd.DataFrame:
        """One row per method, then the best shortcut, then (unless switched off) every shortcut, best first.

        Columns: method, kind, AUROC with its interval `low` and `high`, `over shortcut` (difference to the best
        shortcut), average precision, F1 max, pixel AUROC, K, draws, normal, anomalous, note.
        """
        import pandas as pd

        best = self.best_shortcut
        rows = [_row(name, "method", report, best) for name, report in self.methods.items()]
        rows.append(_row(f"best {best.method}", "best shortcut", best, best))
        if every_shortcut:
            ordered = sorted(self.shortcuts, key=lambda report: -report.auroc)
            rows += [_row(report.method, "shortcut", report, best) for report in ordered]
        return pd.DataFrame(rows)


def compare(
    scorers: Mapping[str, D24FAD | Scorer],
    task: Task,
    shots: int = 4,
    draws: int = 10,
    seed: int = 0,
    *,
    batch_size: int = 32,
    pixel: bool = True,
    supports: np.ndarray | None = None,
    progress: bool = False,
) -> Comparison:
    """Evaluate every scorer on the same draws, and all shortcut statistics beside them.

    Parameters
    ----------
    scorers : mapping from name to D24FAD or Scorer
        Give them one `SharedTeacher` (as `standard_baselines` does) to encode each image once.
    task, shots, draws, seed, batch_size, pixel, supports, progress
        As in `evaluate`.

    Returns
    -------
    Comparison
        With `.to_frame()` for the table.

    Raises
    ------
    ValueError
        No scorer, or as `evaluate`.
    """
    if not scorers:
        raise ValueError("compare() got no scorers; give at least one, or standard_baselines(model)")
    reports = {
        name: evaluate(
            scorer,
            task,
            shots,
            draws,
            seed,
            pixel=pixel,
            batch_size=batch_size,
            supports=supports,
            progress=progress,
        )
        for name, scorer in scorers.items()
    }
    size = as_scorer(next(iter(scorers.values()))).image_size
    return Comparison(reports, shortcut_reports(task, next(iter(reports.values())), size))


def _row(name: str, kind: str, report: EvaluationReport, best: EvaluationReport) -> dict[str, object]:
    """One row of the table."""
    low, high = report.ci
    return {
        "method": name,
        "kind": kind,
        "AUROC": report.auroc,
        "low": low,
        "high": high,
        "over shortcut": report.auroc - best.auroc,
        "average precision": report.average_precision,
        "F1 max": report.f1_max,
        "pixel AUROC": report.pixel_auroc if report.pixel_auroc is not None else np.nan,
        "K": report.shots,
        "draws": report.draws,
        "normal": report.n_normal,
        "anomalous": report.n_anomalous,
        "note": SIGN_NOTE if report.facts.get("note") == SIGN_NOTE else "",
    }
