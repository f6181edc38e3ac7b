"""The state of a training run on disk, so that a killed run goes on exactly where its last full epoch ended.

Episodes are a pure function of (seed, epoch), so weights, optimiser moments and the history are all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.training.averaging import WeightAverage
from d24fad_lite.training.history import History
from d24fad_lite.training.identity import changes

STATE_FILE = "training_state.safetensors"


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
    stored = facts["settings"]
    if "config" in stored:  # settings that came after the file have their defaults
        stored |= {"config": D24FADConfig.from_dict(stored["config"]).to_dict()}
    if differing := changes(stored, settings):
        raise CheckpointError(
            f"{path} belongs to a run with other settings ({'; '.join(differing)}); "
            "choose another output folder, or resume=False to begin anew"
        )
    model.load_trainable_state_dict(_part(tensors, "model."))
    restore_optimizer(optimizer, tensors)
    if average is not None:
        average.restore(_part(tensors, "average."))
    return History(**facts["history"]), _part(tensors, "best.") or None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments as flat tensors, "optimizer.<parameter>.<moment>"."""
    moments = optimizer.state_dict()["state"].items()
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value) for index, state in moments for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Bring the optimiser to what `optimizer_tensors` wrote."""
    plain = optimizer.state_dict()
    plain["state"] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, moment = name.split(".", 1)
        plain["state"].setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict(plain)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
