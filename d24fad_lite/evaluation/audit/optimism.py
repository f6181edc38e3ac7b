"""How much better the same training run looks, the more the test set is allowed to choose.

One run, read in several ways: the last epoch; the epoch that a normal-only validation loss chose; the epoch that the
test set itself would choose (the "oracle", which published code of this method reports); and each of them under the
released code's protocol, which blurs across a class-sorted batch. Only the first two are honest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d24fad_lite.data.benchmark import Task, require_both_classes
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.model.detector import D24FAD

if TYPE_CHECKING:
    import pandas as pd

Fit = Callable[..., Any]


@dataclass(frozen=True)
class Reading:
    """One way of reading the run: which epoch, which protocol, who chose.

    Attributes
    ----------
    name : str
    honest : bool, whether the test set had no say
    epoch : int, from 1
    report : EvaluationReport of that epoch
    """

    name: str
    honest: bool
    epoch: int
    report: EvaluationReport


@dataclass(frozen=True)
class OptimismReport:
    """The readings of one training run on one held-out task, and the image AUROC of every epoch.

    Attributes
    ----------
    task : str
    shots, draws : int
    readings : tuple of Reading, the honest ones first
    curve : tuple of dict
        Per epoch (from 1) the AUROC per image and under the official protocol, and the validation loss.
    """

    task: str
    shots: int
    draws: int
    readings: tuple[Reading, ...]
    curve: tuple[dict[str, float], ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per reading: AUROC, interval, and `optimism`: its AUROC minus that of the first, honest one."""
        import pandas as pd

        base = self.readings[0].report.auroc
        rows = []
        for reading in self.readings:
            low, high = reading.report.ci
            rows.append(
                {
                    "reading": reading.name,
                    "honest": "yes" if reading.honest else "NO, test set chose or leaked",
                    "epoch": reading.epoch,
                    "AUROC": reading.report.auroc,
                    "low": low,
                    "high": high,
                    "optimism": reading.report.auroc - base,
                    "K": self.shots,
                    "draws": self.draws,
                    "normal": reading.report.n_normal,
                    "anomalous": reading.report.n_anomalous,
                }
            )
        return pd.DataFrame(rows)

    def curve_frame(self) -> pd.DataFrame:
        """One row per epoch."""
        import pandas as pd

        return pd.DataFrame(self.curve)


def optimism_report(
    model: D24FAD,
    tasks: Mapping[str, Task],
    task: Task,
    fit: Fit,
    *,
    shots: int = 4,
    epochs: int = 10,
    draws: int = 5,
    seed: int = 0,
    validation: float = 0.2,
    **fit_options: Any,
) -> OptimismReport:
    """Train once with `fit`, evaluate `task` after every epoch in both protocols, and read the run in every way.

    Parameters
    ----------
    model : D24FAD
        Untrained; it is trained in place.
    tasks : mapping from name to Task
        To train on.
    task : Task
        The held-out one.
    fit : function
        `d24fad_lite.fit`, or one with its signature (evaluation does not import training).
    shots, epochs, draws, seed : int
        As in `fit` and `evaluate`.
    validation : float, default 0.2
        Fraction of the training tasks' normal images for the validation loss, above 0.
    fit_options
        Passed to `fit`.

    Returns
    -------
    OptimismReport

    Raises
    ------
    ValueError
        Fewer than 16 test images (the official protocol drops incomplete batches), test images of one class alone,
        or no validation.
    """
    if not validation > 0:
        raise ValueError(f"validation={validation!r} must be above 0: one of the readings is chosen by it")
    require_both_classes(task)  # before anything is trained
    per_image: list[EvaluationReport] = []
    official: list[EvaluationReport] = []

    def evaluate_epoch(epoch: int, trained: D24FAD) -> None:
        per_image.append(evaluate(trained, task, shots, draws, seed, pixel=False))
        official.append(evaluate(trained, task, shots, draws, seed, protocol="official", pixel=False))

    history = fit(
        model,
        tasks,
        shots=shots,
        epochs=epochs,
        seed=seed,
        validation=validation,
        on_epoch=evaluate_epoch,
        **fit_options,
    )
    losses = [row["val_loss"] for row in history.rows][-len(per_image) :]
    curve = tuple(
        {"epoch": i + 1, "per image": plain.auroc, "official": leaky.auroc, "validation loss": loss}
        for i, (plain, leaky, loss) in enumerate(zip(per_image, official, losses, strict=True))
    )
    return OptimismReport(task.name, shots, draws, _readings(per_image, official, losses), curve)


def _readings(
    per_image: list[EvaluationReport], official: list[EvaluationReport], losses: list[float]
) -> tuple[Reading, ...]:
    """The run read in five ways, from the reports and validation losses of its epochs."""
    last = len(per_image) - 1
    validated = losses.index(min(losses))
    oracle = max(range(len(per_image)), key=lambda i: per_image[i].auroc)
    best_official = max(range(len(official)), key=lambda i: official[i].auroc)
    return (
        Reading("per image, last epoch", True, last + 1, per_image[last]),
        Reading("per image, chosen on normal validation images", True, validated + 1, per_image[validated]),
        Reading("per image, chosen on the test set (oracle)", False, oracle + 1, per_image[oracle]),
        Reading("official protocol, last epoch", False, last + 1, official[last]),
        Reading("official protocol, chosen on the test set", False, best_official + 1, official[best_official]),
    )
