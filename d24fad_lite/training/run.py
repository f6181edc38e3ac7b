"""One training run from its first epoch, or its last stored one, to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from tqdm.auto import tqdm

from d24fad_lite.csv_files import write_frame
from d24fad_lite.data.benchmark import Task
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.sole_writer import sole_writer
from d24fad_lite.training.cache import TeacherCache
from d24fad_lite.training.episodes import EpisodeBatch, EpisodeSampler
from d24fad_lite.training.history import History
from d24fad_lite.training.identity import code_digest, images_identity
from d24fad_lite.training.learner import Learner
from d24fad_lite.training.processes import batch_norms_over_processes
from d24fad_lite.training.schedule import learning_rate
from d24fad_lite.training.settings import FitSettings
from d24fad_lite.training.state import load_state, save_state
from d24fad_lite.training.validation import hold_out

OnEpoch = Callable[[int, D24FAD], None]


class TrainingRun:
    """The pieces that `fit` joins, and the loop over its epochs; arguments as of `fit`."""

    def __init__(
        self,
        model: D24FAD,
        tasks: Mapping[str, Task],
        settings: FitSettings,
        accelerator: Accelerator,
        *,
        out: str | Path | None = None,
        cache: str = "auto",
        progress: bool | Callable[[dict[str, Any]], None] = True,
    ) -> None:
        self.model, self.settings, self.accelerator = model, settings, accelerator
        self.out = Path(out) if out is not None else None
        self.progress = progress is True and accelerator.is_local_main_process
        self.tell = progress if callable(progress) and accelerator.is_main_process else None
        self.sampler, self.validation = _episodes(tasks, settings, redraw=model.config.train_supports == "redrawn")
        _require_shareable(settings, accelerator.num_processes)
        model.to(accelerator.device)
        with accelerator.main_process_first():  # features on disk are written once
            features = TeacherCache(model.teacher, [t.train for t in tasks.values()], cache, progress=self.progress)
        self.learner = Learner(model, features, settings, accelerator)
        self.tasks = tasks
        self.rounds = len(self.sampler)  # steps per epoch
        self.steps = settings.epochs * self.rounds
        self.best: dict[str, Tensor] | None = None  # weights of the best epoch, where patience may go back to them

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a stored run must have been made with, so that this one may go on from it."""
        return self.settings.identity() | {
            "config": self.model.config.to_dict(),
            "teacher": self.model.teacher.fingerprint(),
            "tasks": images_identity(self.tasks, groups=bool(self.settings.validation)),
            "code": code_digest()[:16],
        }

    def train(self, resume: bool, on_epoch: OnEpoch | None = None) -> History:
        """Train the epochs that are missing; the model ends in eval mode with the weights to keep.

        Raises FolderInUse where another process trains in the same folder.
        """
        with batch_norms_over_processes(self.model, self.accelerator.num_processes):
            if self.out is None or not self.accelerator.is_main_process:
                return self._train(resume, on_epoch)
            with sole_writer(self.out, "a training"):
                return self._train(resume, on_epoch)

    def _train(self, resume: bool, on_epoch: OnEpoch | None) -> History:
        self.accelerator.wait_for_everyone()  # the main process has the folder now, and has tidied it
        history = self._resumed() if resume else None
        self.accelerator.wait_for_everyone()  # all have read the state before the next is written
        if history is None:  # a run that is stopped in its first epoch begins again from the weights it began with
            history = History()
            self._store(history)
        started_at = min(len(history), self.settings.epochs) * self.rounds
        try:
            with tqdm(total=self.steps, initial=started_at, desc="fit", unit="batch", disable=not self.progress) as bar:
                while len(history) < self.settings.epochs and not self._exhausted(history):
                    self._add(self._epoch(len(history), bar), history)
                    self._store(history)
                    if self.tell is not None:
                        self.tell(history.rows[-1])
                    if on_epoch is not None:
                        with self.learner.averaged():
                            on_epoch(len(history), self.model)
        finally:
            self.learner.unwrap()
        self._keep_weights(history)
        return history

    def _epoch(self, epoch: int, bar: tqdm) -> dict[str, Any]:
        """Train one epoch (from 0); its row of the history."""
        started, totals, count = time.perf_counter(), np.zeros(3), 0.0
        self.model.train()
        batches, world = self.sampler.epoch(epoch), self.accelerator.num_processes
        for step, whole in enumerate(batches):
            batch = whole.part(self.accelerator.process_index, world)
            weight = len(whole) / world if len(batch) == len(whole) else len(batch)  # queries that this part stands for
            done = epoch * len(batches) + step
            self.learner.set_rate(learning_rate(done, self.steps, self.settings.lr, self.settings.lr_schedule))
            losses = self.learner.step(batch, weight * world / len(whole))
            if not math.isfinite(losses[0]):
                raise FloatingPointError(self._not_finite(losses[0], epoch, step))
            totals, count = totals + weight * losses, count + weight
            bar.update()
            bar.set_postfix(epoch=epoch + 1, loss=f"{totals[0] / count:.4f}", refresh=False)
        loss, tsd, ssd = self._over_processes(totals, count)
        return {
            "epoch": epoch + 1,
            "loss": loss,
            "loss_tsd": tsd,
            "loss_ssd": ssd,
            "val_loss": self._agreed(self.learner.validate(self.validation)),
            "seconds": time.perf_counter() - started,
        }

    def _not_finite(self, loss: float, epoch: int, step: int) -> str:
        stored = f"; the state after epoch {epoch} is kept in {self.out}" if self.out and epoch else ""
        return (
            f"the loss became {loss} in epoch {epoch + 1}, batch {step + 1}; lower lr, or use precision='fp32'{stored}"
        )

    def _add(self, row: dict[str, Any], history: History) -> None:
        """Enter an epoch into the history, and keep its weights where it is the best so far."""
        history.rows.append(row)
        if self.validation and row["val_loss"] <= min(r["val_loss"] for r in history.rows):
            history.best_epoch = row["epoch"]
            self.best = self.learner.snapshot() if self.settings.patience else None
        history.kept_epoch = row["epoch"]

    def _exhausted(self, history: History) -> bool:
        patience = self.settings.patience
        return bool(patience and history.best_epoch and len(history) - history.best_epoch >= patience)

    def _keep_weights(self, history: History) -> None:
        """Leave in the model the weights of the best epoch, or the average, or those of the last step."""
        if self.best is not None and history.best_epoch is not None:
            self.model.load_trainable_state_dict(self.best)
            history.kept_epoch = history.best_epoch
        elif self.learner.average is not None:
            self.learner.average.apply()
        self.model.eval()

    def _resumed(self) -> History | None:
        """The history of the run stored in `out`, after bringing everything to its state; None where there is none."""
        if self.out is None:
            return None
        stored = load_state(self.out, self.model, self.learner.optimizer, self.identity, self.learner.average)
        if stored is None:
            return None
        history, self.best = stored
        return history

    def _store(self, history: History) -> None:
        if self.out is None or not self.accelerator.is_main_process:
            return
        learner = self.learner
        save_state(self.out, self.model, learner.optimizer, history, self.best, self.identity, learner.average)
        if history.rows:
            write_frame(self.out / "history.csv", history.to_frame())

    def _agreed(self, value: float) -> float:
        """The first process's number, so that all of them take the same decisions from it."""
        if self.accelerator.num_processes == 1:
            return value
        return float(broadcast(torch.tensor([value], device=self.accelerator.device))[0])

    def _over_processes(self, totals: np.ndarray, count: float) -> list[float]:
        """Sums of three losses over `count` queries of this process -> their means over the queries of all."""
        numbers = torch.tensor([*totals, count], dtype=torch.float64)
        if self.accelerator.num_processes > 1:
            gathered = self.accelerator.gather(numbers.float().to(self.accelerator.device)[None]).cpu().double()
            numbers = gathered.sum(dim=0)
        return (numbers[:3] / numbers[3]).tolist()


def _require_shareable(settings: FitSettings, processes: int) -> None:
    """Refuse several processes where a batch cannot be shared out between them."""
    if processes > 1 and settings.episodes == "in-batch":
        raise ValueError(
            f"episodes='in-batch' takes the supports out of the batch, which {processes} processes cannot share out; "
            "use episodes='independent', or one process"
        )


def _episodes(
    tasks: Mapping[str, Task], settings: FitSettings, redraw: bool
) -> tuple[EpisodeSampler, list[EpisodeBatch]]:
    """The sampler of the training episodes, and the episodes of the held-out images: none without validation."""
    sets = [task.train for task in tasks.values()]
    sizes = [len(images) for images in sets]
    named: dict[str, Any] = dict(names=list(tasks), folders=[task.training_location for task in tasks.values()])
    shots, batch_size, seed = settings.shots, settings.batch_size, settings.seed
    trained = held_out = None
    if settings.validation:
        trained, held_out = hold_out(sets, settings.validation, shots, seed)
    sampler = EpisodeSampler(sizes, shots, batch_size, seed, settings.episodes, redraw=redraw, indices=trained, **named)
    if held_out is None:
        return sampler, []
    # One fixed set of episodes, so that epochs are compared on the same ground.
    return sampler, EpisodeSampler(sizes, shots, batch_size, seed, indices=held_out, **named).epoch(0)
