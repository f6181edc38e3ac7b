"""How much better the same training run looks, the more the test set is allowed to choose.

One run, read in several ways: the last epoch; the epoch that a normal-only validation loss chose; the epoch that the
test set itself would choose (the "oracle", which published code of this method reports); and each of them under the
released code's protocol, which blurs across a class-sorted batch. Only the first two are honest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.benchmark import Task, require_both_classes
from ..model.detector import D24FAD
from .evaluate import evaluate
from .report import EvaluationReport

if TYPE_CHECKING:
    import pandas as pd

Fit = Callable[..., Any]


@dataclass(frozen=True)
class Reading:
    """One way of reading the run: which epoch, which protocol, who chose."""

    name: str
    honest: bool
    epoch: int
    report: EvaluationReport


@dataclass(frozen=True)
class OptimismReport:
    """The readings of one training run on one held-out task, and the image AUROC of every epoch.

    curve : per epoch (from 1), the AUROC per image and under the official protocol, and the validation loss.
    """

    task: str
    shots: int
    draws: int
    readings: tuple[Reading, ...]
    curve: tuple[dict[str, float], ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per reading: AUROC, interval, and what it gains over the first, honest one."""
        import pandas as pd

        base = self.readings[0].report.auroc
        rows = []
        for reading in self.readings:
            low, high = reading.report.ci
            rows.append({"reading": reading.name, "honest": "yes" if reading.honest else "NO, test set chose or leaked",
                         "epoch": reading.epoch, "AUROC": reading.report.auroc, "low": low, "high": high,
                         "optimism": reading.report.auroc - base, "K": self.shots, "draws": self.draws,
                         "normal": reading.report.n_normal, "anomalous": reading.report.n_anomalous})
        return pd.DataFrame(rows)

    def curve_frame(self) -> pd.DataFrame:
        """One row per epoch."""
        import pandas as pd

        return pd.DataFrame(self.curve)


def optimism_report(model: D24FAD, tasks: Mapping[str, Task], task: Task, fit: Fit, *, shots: int = 4, epochs: int = 10,
                    draws: int = 5, seed: int = 0, validation: float = 0.2, **fit_options: Any) -> OptimismReport:
    """Train once with `fit`, evaluate `task` after every epoch in both protocols, and read the run in every way.

    Parameters
    ----------
    model : D24FAD, untrained; it is trained in place.
    tasks : the training tasks; task : the held-out one.
    fit : `d24fad_lite.training.fit.fit`, or a function with its signature (evaluation does not import training).
    shots, epochs, draws, seed : as in `fit` and `evaluate`.
    validation : fraction of the training tasks' normal images for the validation loss, > 0.
    fit_options : passed to `fit`.

    Raises
    ------
    ValueError : fewer than 16 test images (the official protocol drops incomplete batches), of one class alone,
        or no validation.
    """
    if not validation > 0:
        raise ValueError(f"validation={validation!r} must be above 0: one of the readings is chosen by it")
    require_both_classes(task)  # before anything is trained
    honest: list[EvaluationReport] = []
    official: list[EvaluationReport] = []

    def look(epoch: int, trained: D24FAD) -> None:
        honest.append(evaluate(trained, task, shots, draws, seed, pixel=False))
        official.append(evaluate(trained, task, shots, draws, seed, protocol="official", pixel=False))

    history = fit(model, tasks, shots=shots, epochs=epochs, seed=seed, validation=validation, on_epoch=look,
                  **fit_options)
    losses = [row["val_loss"] for row in history.rows][-len(honest):]
    last, chosen = len(honest) - 1, losses.index(min(losses))
    oracle = max(range(len(honest)), key=lambda i: honest[i].auroc)
    best_official = max(range(len(official)), key=lambda i: official[i].auroc)
    readings = (
        Reading("per image, last epoch", True, last + 1, honest[last]),
        Reading("per image, chosen on normal validation images", True, chosen + 1, honest[chosen]),
        Reading("per image, chosen on the test set (oracle)", False, oracle + 1, honest[oracle]),
        Reading("official protocol, last epoch", False, last + 1, official[last]),
        Reading("official protocol, chosen on the test set", False, best_official + 1, official[best_official]),
    )
    curve = tuple({"epoch": i + 1, "per image": h.auroc, "official": o.auroc, "validation loss": v}
                  for i, (h, o, v) in enumerate(zip(honest, official, losses, strict=True)))
    return OptimismReport(task.name, shots, draws, readings, curve)
