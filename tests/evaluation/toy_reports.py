"""Reports of scores that no detector made."""

from __future__ import annotations

import numpy as np

from d24fad_lite.evaluation.report import EvaluationReport


def toy_report(
    method: str, scores: np.ndarray, labels: np.ndarray, groups: list[str | None] | None = None, hashes: str = "h"
) -> EvaluationReport:
    draws, count = scores.shape
    return EvaluationReport(
        task="T",
        method=method,
        protocol="per-image",
        shots=2,
        seed=0,
        labels=labels,
        names=[f"{i}.png" for i in range(count)],
        groups=groups or [None] * count,
        scores=scores,
        supports=np.zeros((draws, 2), int),
        support_hashes=[[f"{hashes}{d}a", f"{hashes}{d}b"] for d in range(draws)],
    )
