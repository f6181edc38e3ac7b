"""The state of a training run on disk, so that a killed run goes on exactly where its last full epoch ended.

Episodes are a pure function of (seed, epoch), so weights, optimiser moments and the history are all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import ConfigDict, model_validator
from torch import Tensor

from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.schemas import Schema, checked
from d24fad_lite.training.averaging import WeightAverage
from d24fad_lite.training.history import History
from d24fad_lite.training.identity import changes

STATE_FILE = "training_state.safetensors"
REMEDY = "choose another output folder, or resume=False to begin anew"


class HistoryFacts(Schema):
    """A `History` in a file; losses that are not there (val_loss) are NaN."""

    model_config = ConfigDict(allow_inf_nan=True)

    rows: list[dict[str, int | float]]
    best_epoch: int | None
    kept_epoch: int

    @model_validator(mode="after")
    def _within(self) -> Self:
        last = len(self.rows)
        if not 0 <= self.kept_epoch <= last or not 1 <= (self.best_epoch or 1) <= max(1, last):
            raise ValueError(f"kept_epoch and best_epoch among its {last} epochs")
        return self


class StateFile(Schema):
    """The metadata of the state of a training run."""

    settings: dict[str, Any]
    history: HistoryFacts


def save_state(
    folder: Path,
    model: D24FAD,
    optimizer: torch.optim.Optimizer,
    history: History,
    best: Mapping[str, Tensor] | None,
    settings: dict[str, Any],
    average: WeightAverage | None = None,
) -> None:
    """Write the state after an epoch, whole or not at all; the model holds the trained weights, not their average."""
    tensors = {f"model.{name}": t for name, t in model.trainable_state_dict().items()}
    tensors |= optimizer_tensors(optimizer)
    tensors |= {f"best.{name}": t for name, t in (best or {}).items()}
    tensors |= {f"average.{name}": t for name, t in (average.tensors() if average else {}).items()}
    write_tensors(folder / STATE_FILE, tensors, {"settings": settings, "history": asdict(history)})


def load_state(
    folder: Path,
    model: D24FAD,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
    average: WeightAverage | None = None,
) -> tuple[History, dict[str, Tensor] | None] | None:
    """Bring model, optimiser and average to the stored state.

    Returns the history and the weights of the best epoch (None without patience); None where nothing is stored.
    Raises CheckpointError when the stored run had other settings: they are named, nothing is overwritten.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    tensors, facts = read_tensors(path)
    file = checked(StateFile, facts, path, REMEDY, CheckpointError)
    stored = _with_defaults(file.settings, path)
    if differing := changes(stored, settings):
        raise CheckpointError(
            f"{path} belongs to a run with other settings ({'; '.join(differing)}); "
            "choose another output folder, or resume=False to begin anew"
        )
    if not file.history.rows and _part(tensors, "optimizer."):
        raise CheckpointError(f"{path} holds moments of an optimiser and no epoch that made them; {REMEDY}")
    restore_optimizer(optimizer, tensors, path)
    model.load_trainable_state_dict(_part(tensors, "model."), str(path))
    if average is not None:
        average.restore(_part(tensors, "average."))
    return History(**facts["history"]), _part(tensors, "best.") or None


def _with_defaults(stored: dict[str, Any], path: Path) -> dict[str, Any]:
    """The stored settings, with their defaults for those that came after the file."""
    if "config" not in stored:
        return stored
    try:
        return stored | {"config": D24FADConfig.from_dict(stored["config"]).to_dict()}
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} holds settings that are not possible ({error}); {REMEDY}") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments as flat tensors, "optimizer.<parameter>.<moment>"."""
    moments = optimizer.state_dict()["state"].items()
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value) for index, state in moments for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Bring the optimiser to what `optimizer_tensors` wrote. Raises CheckpointError for moments that do not fit."""
    plain = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, _, moment = name.partition(".")
        if not index.isdigit() or int(index) >= len(parameters):
            raise CheckpointError(f"{origin} holds moments of parameter {index}, which there is not; {REMEDY}")
        moments.setdefault(int(index), {})[moment] = value
    for number, of_one in moments.items():
        shape, found = tuple(parameters[number].shape), {name: tuple(value.shape) for name, value in of_one.items()}
        if found != {"step": (), "exp_avg": shape, "exp_avg_sq": shape}:
            raise CheckpointError(f"{origin} holds moments {found} of parameter {number} of shape {shape}; {REMEDY}")
        if not all(bool(torch.isfinite(value).all()) for value in of_one.values()):
            raise CheckpointError(f"{origin} holds NaN or infinite moments of parameter {number}; {REMEDY}")
    plain["state"] = moments
    optimizer.load_state_dict(plain)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
