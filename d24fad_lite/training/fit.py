"""Train student and learn-to-weight on episodes from the normal images of the training tasks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from tqdm.auto import tqdm

from ..data.benchmark import Task
from ..data.episodes import EpisodeBatch, EpisodeSampler
from ..messages import choose_one_of
from ..model.allocator import keep_freed_memory
from ..model.detector import D24FAD
from ..model.teacher import TeacherFeatures
from .averaging import WeightAverage
from .cache import TeacherCache
from .history import History
from .schedule import SCHEDULES, learning_rate
from .state import load_state, save_state
from .validation import hold_out

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class FitSettings:
    """What determines the result of a training run, beside the model and the images."""

    shots: int
    seed: int
    batch_size: int
    lr: float
    betas: tuple[float, float]
    optimizer: str
    episodes: str
    precision: str
    validation: float
    patience: int | None
    ema: float
    lr_schedule: str

    def __post_init__(self) -> None:
        for name, allowed in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS), ("lr_schedule", SCHEDULES)):
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(choose_one_of(name, value, allowed))
        if not self.lr > 0:
            raise ValueError(f"lr={self.lr!r} must be greater than 0")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience={self.patience!r} must be at least 1 epoch, or None")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema!r} must be at least 0 (off) and below 1, for example 0.99")

    def facts(self) -> dict[str, Any]:
        """Plain values; what is off is left out, so that states of runs before the setting existed still fit."""
        facts = asdict(self) | {"betas": list(self.betas)}
        off = [name for name, value in (("ema", 0), ("lr_schedule", "constant")) if facts[name] == value]
        return {name: value for name, value in facts.items() if name not in off}


def fit(
    model: D24FAD,
    tasks: Mapping[str, Task],
    shots: int = 4,
    epochs: int = 10,
    seed: int = 0,
    *,
    batch_size: int = 16,
    lr: float = 1e-4,
    lr_schedule: str = "constant",
    betas: tuple[float, float] = (0.5, 0.999),
    optimizer: str = "adam",
    episodes: str = "independent",
    precision: str = "fp32",
    validation: float = 0.0,
    patience: int | None = None,
    ema: float = 0.0,
    out: str | Path | None = None,
    resume: bool = True,
    cache: str = "auto",
    device: str | None = None,
    progress: bool = True,
    on_epoch: Callable[[int, D24FAD], None] | None = None,
    accelerator: Accelerator | None = None,
) -> History:
    """Dual distillation on the training tasks; the model is changed in place.

    Parameters
    ----------
    model : D24FAD
    tasks : mapping of name to Task
        Training tasks, `bench.without(NAME)`; only their normal training images are used.
    shots : int
        Supports K per query, >= 1.
    epochs : int
        Passes over the training images, >= 1. The method: 70.
    seed : int
        Of the episodes. On a CPU the same seed gives the same weights, bit by bit.
    batch_size, lr, betas, optimizer
        The method: 16, 1e-4, (0.5, 0.999), "adam" (or "adamw").
    lr_schedule : {"constant", "cosine"}
        The method: "constant". Ours: "cosine" rises to `lr` over the first 5 % of all steps and falls to nothing over
        the rest, see `schedule.learning_rate`; the length of the run then counts, so such a run cannot be prolonged.
    episodes : {"independent", "in-batch"}
        K supports of its own for each query, as in the method; or supports among the query's task mates in the batch,
        which costs B instead of (K+1)·B student passes. Not the same training: after a single epoch it can end far
        from the other, either way (`benchmarks/episode_modes.py` measures it); the time saved buys more epochs.
    precision : {"fp32", "bf16", "fp16"}
        Of the convolutions, through Accelerate; cosines and softmax stay in fp32.
    validation : float
        Fraction of the normal training images of each training task held out to compute `val_loss`; 0 for none.
    patience : int, optional
        Stop after so many epochs without a lower `val_loss`, and keep the weights of the best epoch. Needs
        `validation`. Nothing of any test set is ever looked at.
    ema : float
        Ours, not the method's: decay of a moving average of the weights over the optimiser's steps, 0 (off) to below
        1, see `averaging.WeightAverage`. The model ends with the averaged weights; `val_loss` and `on_epoch` see them.
    out : path, optional
        Folder for the state after each epoch and for `history.csv`. A run that was killed, or stopped with Ctrl-C,
        goes on from its last full epoch when called again, to the same weights as an uninterrupted run.
    resume : bool
        Whether to go on from a state found in `out`; False begins anew.
    cache : {"auto", "memory", "disk", "off"}
        Where teacher features are kept, see `TeacherCache`.
    device : str, optional
        "cpu" forces the CPU; default: what Accelerate finds.
    progress : bool
        Show a progress bar with the losses.
    on_epoch : function of (epoch from 1, model), optional
        Called after every epoch that is trained, after its state is stored; it must not change the model.
    accelerator : Accelerator, optional
        Your own, for example inside `notebook_launcher`; `precision` and `device` are then its matter.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        A task with too few images, or an argument out of range.
    CheckpointError
        `out` holds the state of a run with other settings.
    FloatingPointError
        The loss became NaN or infinite; the last good state is kept.
    """
    settings = FitSettings(shots, seed, batch_size, lr, tuple(betas), optimizer, episodes, precision,
                           validation, patience, ema, lr_schedule)
    if not tasks:
        raise ValueError("fit() got no training tasks; give at least one, for example bench.without('RSNA')")
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} must be a whole number, at least 1")
    if patience is not None and not validation:
        raise ValueError("patience needs a validation loss; set validation, for example 0.2")
    keep_freed_memory()
    run = _Run(model, tasks, settings, out, cache, progress, accelerator or _accelerator(precision, device))
    return run.train(epochs, resume, on_epoch)


class _Run:
    """One training run: the pieces `fit` joins, and the loop over its epochs."""

    def __init__(self, model: D24FAD, tasks: Mapping[str, Task], settings: FitSettings, out: str | Path | None,
                 cache: str, progress: bool, accelerator: Accelerator) -> None:
        self.model, self.settings, self.accelerator = model, settings, accelerator
        self.out = Path(out) if out is not None else None
        self.progress = progress and accelerator.is_local_main_process
        sets = [task.train for task in tasks.values()]
        kept = held = None
        if settings.validation:
            kept, held = hold_out(sets, settings.validation, settings.shots, settings.seed)
        labels: dict[str, Any] = dict(names=list(tasks), places=[t.train_place for t in tasks.values()])
        self.sampler = EpisodeSampler(
            [len(s) for s in sets], settings.shots, settings.batch_size, settings.seed, settings.episodes,
            redraw=model.config.train_supports == "redrawn", indices=kept, **labels)
        self.validation: list[EpisodeBatch] = []
        if held is not None:  # one fixed set of episodes, so that epochs are compared on the same ground
            self.validation = EpisodeSampler([len(s) for s in sets], settings.shots, settings.batch_size,
                                             settings.seed, indices=held, **labels).epoch(0)
        model.to(accelerator.device)
        self.cache = TeacherCache(model.teacher, sets, cache, progress=self.progress)
        learnable = [p for p in model.parameters() if p.requires_grad]
        raw = OPTIMIZERS[settings.optimizer](learnable, lr=settings.lr, betas=settings.betas)
        self.wrapped, self.optimizer = accelerator.prepare(model, raw)
        self.average = WeightAverage(model, settings.ema) if settings.ema else None
        self.identity = settings.facts() | {
            "config": model.config.to_dict(), "teacher": model.teacher.fingerprint(),
            "tasks": {name: len(task.train) for name, task in tasks.items()},
        }

    def train(self, epochs: int, resume: bool, on_epoch: Callable[[int, D24FAD], None] | None = None) -> History:
        history, best = History(), None
        if self.settings.lr_schedule != "constant":
            self.identity["epochs"] = epochs
        stored = None
        if self.out is not None and resume:
            stored = load_state(self.out, self.model, self._plain_optimizer(), self.identity, self.average)
        if stored is not None:
            history, best = stored
        else:  # a run that is stopped in its first epoch begins again from the weights it began with
            self._store(history, best)
        rounds = -(-len(self.sampler) // self.accelerator.num_processes)
        self.steps = epochs * rounds
        try:
            with tqdm(total=self.steps, initial=min(len(history), epochs) * rounds, desc="fit", unit="batch",
                      disable=not self.progress) as bar:
                while len(history) < epochs and not self._exhausted(history):
                    row = self._epoch(len(history), bar)
                    history.rows.append(row)
                    if self.validation and row["val_loss"] <= min(r["val_loss"] for r in history.rows):
                        history.best_epoch = row["epoch"]
                        best = self._snapshot() if self.settings.patience else None
                    history.kept_epoch = row["epoch"]
                    self._store(history, best)
                    if on_epoch is not None:
                        with self._averaged():
                            on_epoch(row["epoch"], self.model)
        finally:
            self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
        if best is not None and history.best_epoch is not None:
            self.model.load_trainable_state_dict(best)
            history.kept_epoch = history.best_epoch
        elif self.average is not None:
            self.average.apply()
        self.model.eval()
        return history

    def _epoch(self, epoch: int, bar: tqdm) -> dict[str, Any]:
        started, totals, count = time.perf_counter(), np.zeros(3), 0
        self.model.train()
        batches = self._share(self.sampler.epoch(epoch))
        for step, batch in enumerate(batches):
            self._set_rate(epoch * len(batches) + step)
            losses = self._step(batch)
            if not math.isfinite(losses[0]):
                raise FloatingPointError(
                    f"the loss became {losses[0]} in epoch {epoch + 1}, batch {step + 1}; lower lr, or use "
                    "precision='fp32'" + (f"; the state after epoch {epoch} is kept in {self.out}"
                                          if self.out and epoch else ""))
            totals, count = totals + len(batch) * losses, count + len(batch)
            bar.update()
            bar.set_postfix(epoch=epoch + 1, loss=f"{totals[0] / count:.4f}", refresh=False)
        loss, tsd, ssd = self._over_processes(totals, count)
        return {"epoch": epoch + 1, "loss": loss, "loss_tsd": tsd, "loss_ssd": ssd,
                "val_loss": self._validate(), "seconds": time.perf_counter() - started}

    def _set_rate(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.steps, self.settings.lr, self.settings.lr_schedule)

    def _step(self, batch: EpisodeBatch) -> np.ndarray:
        self.optimizer.zero_grad(set_to_none=True)
        loss, tsd, ssd = self._losses(batch)
        self.accelerator.backward(loss)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return np.array([loss.item(), tsd.item(), ssd.item()])

    def _losses(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor, Tensor]:
        device = self.accelerator.device
        query = _to(self.cache.features(batch.queries), device)
        with self.accelerator.autocast():
            if batch.support_rows is not None:
                out = self.wrapped(query, rows=torch.as_tensor(batch.support_rows, device=device))
            else:
                supports = self.cache.features(batch.supports.ravel(), embedding_only=True)  # K*B, support by support
                out = self.wrapped(query, _to(supports, device))
        return out.loss, out.loss_tsd, out.loss_ssd

    @torch.no_grad()
    def _validate(self) -> float:
        if not self.validation:
            return math.nan
        self.model.eval()
        with self._averaged():
            losses = [(len(batch), float(self._losses(batch)[0])) for batch in self.validation]
        self.model.train()
        return sum(n * loss for n, loss in losses) / sum(n for n, _ in losses)

    def _share(self, batches: list[EpisodeBatch]) -> list[EpisodeBatch]:
        """This process's batches; the last round is filled from the front, so that all processes step together."""
        world = self.accelerator.num_processes
        padded = batches + batches[: -len(batches) % world]
        return padded[self.accelerator.process_index :: world]

    def _over_processes(self, totals: np.ndarray, count: int) -> list[float]:
        numbers = torch.tensor([*totals, count], dtype=torch.float64)
        if self.accelerator.num_processes > 1:
            gathered = self.accelerator.gather(numbers.float().to(self.accelerator.device)[None]).cpu().double()
            numbers = gathered.sum(dim=0)
        return (numbers[:3] / numbers[3]).tolist()

    def _exhausted(self, history: History) -> bool:
        patience = self.settings.patience
        return bool(patience and history.best_epoch and len(history) - history.best_epoch >= patience)

    def _averaged(self) -> AbstractContextManager[None]:
        """Within it the model is what `fit` would return if this epoch were the last."""
        return self.average.applied() if self.average is not None else nullcontext()

    def _snapshot(self) -> dict[str, Tensor]:
        with self._averaged():
            return {name: tensor.detach().cpu().clone() for name, tensor in self.model.trainable_state_dict().items()}

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _store(self, history: History, best: dict[str, Tensor] | None) -> None:
        if self.out is None or not self.accelerator.is_main_process:
            return
        save_state(self.out, self.model, self._plain_optimizer(), history, best, self.identity, self.average)
        if history.rows:
            history.to_frame().to_csv(self.out / "history.csv", index=False)


def _accelerator(precision: str, device: str | None) -> Accelerator:
    # Accelerate keeps its first settings for the whole process; a notebook may well train in two precisions.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision=PRECISIONS[precision], cpu=device == "cpu")


def _to(features: TeacherFeatures, device: torch.device) -> TeacherFeatures:
    return TeacherFeatures([level.to(device) for level in features.levels], features.embedding.to(device))
