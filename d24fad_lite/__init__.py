"""d24fad_lite: learn, test and challenge few-shot medical anomaly detection by dual distillation (D²4FAD).

    import d24fad_lite as d2

    bench = d2.open_benchmark("data_samples")
    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="embedded"))
    d2.fit(model, bench.without("RSNA"), shots=4, epochs=10)
    print(d2.evaluate(model, bench["RSNA"], shots=4).summary())

Nothing heavy is imported until a name is used. Not for clinical use.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "open_benchmark": "data.benchmark",
    "open_folder": "data.benchmark",
    "Benchmark": "data.benchmark",
    "Task": "data.benchmark",
    "ImageSet": "data.image_set",
    "draw_supports": "data.episodes",
    "styled_tasks": "data.styles",
    "load_image": "data.images",
    "D24FADConfig": "model.config",
    "READINGS": "model.config",
    "D24FAD": "model.detector",
    "D24FADOutput": "model.features",
    "Prediction": "model.features",
    "SupportBank": "model.features",
    "TeacherFeatures": "model.teacher",
    "best_local_teacher": "model.weights.local",
    "weights_available": "model.weights.local",
    "fit": "training.fit",
    "History": "training.history",
    "evaluate": "evaluation.evaluate",
    "EvaluationReport": "evaluation.report",
    "image_auroc": "evaluation.metrics",
    "intake_report": "evaluation.intake.report",
    "IntakeReport": "evaluation.intake.report",
    "audit": "evaluation.audit.run",
    "AuditReport": "evaluation.audit.findings",
    "optimism_report": "evaluation.optimism",
}
__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from .data.benchmark import Benchmark, Task, open_benchmark, open_folder
    from .data.episodes import draw_supports
    from .data.image_set import ImageSet
    from .data.images import load_image
    from .data.styles import styled_tasks
    from .evaluation.audit.findings import AuditReport
    from .evaluation.audit.run import audit
    from .evaluation.evaluate import evaluate
    from .evaluation.intake.report import IntakeReport, intake_report
    from .evaluation.metrics import image_auroc
    from .evaluation.optimism import optimism_report
    from .evaluation.report import EvaluationReport
    from .model.config import READINGS, D24FADConfig
    from .model.detector import D24FAD
    from .model.features import D24FADOutput, Prediction, SupportBank
    from .model.teacher import TeacherFeatures
    from .model.weights.local import best_local_teacher, weights_available
    from .training.fit import fit
    from .training.history import History


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        near = difflib.get_close_matches(name, _HOME, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
