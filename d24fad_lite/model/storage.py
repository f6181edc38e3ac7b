"""A detector on disk: one self-contained safetensors file; and the checkpoints of the released code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .checkpoint import CheckpointError, read_tensors, read_torch_file, strip_module_prefix, write_tensors
from .config import D24FADConfig
from .weights.source import WeightsSource

if TYPE_CHECKING:
    from .detector import D24FAD
    from .teacher import Teacher

FORMAT = 1
OPTIONAL = re.compile(r"\.num_batches_tracked$|^proj_in\d+\.bias$")  # absent in old checkpoints, without effect


def save_detector(model: D24FAD, path: str | Path, metadata: dict[str, Any]) -> Path:
    """Write student, learn-to-weight, configuration and, unless the package ships it, the teacher.

    So `load` needs neither a network nor the random generator of the day. A teacher module of the user's own is
    stored as tensors; its code is not.
    """
    tensors = model.trainable_state_dict()
    if model.config.weights != "embedded" or isinstance(model.config.teacher, nn.Module):
        tensors = model.state_dict()
    teacher = model.teacher
    facts = {"format": FORMAT, "config": model.config.to_dict(), "teacher": teacher.fingerprint(),
             "weights_source": teacher.weights_source.to_dict(), "mean": teacher.mean.flatten().tolist(),
             "std": teacher.std.flatten().tolist()}
    return write_tensors(path, tensors, metadata | facts)


def load_detector(cls: type[D24FAD], path: str | Path, teacher: nn.Module | None) -> D24FAD:
    """Read a file of `save_detector`; the teacher must come out exactly as it was saved."""
    tensors, facts = read_tensors(path)
    if "config" not in facts or facts.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a detector of format {FORMAT}; it holds {sorted(facts)}")
    settings = dict(facts["config"])
    kept = {name.removeprefix("teacher."): t for name, t in tensors.items() if name.startswith("teacher.")}
    if str(settings["teacher"]).startswith("module:"):
        if teacher is None:
            name = settings["teacher"].removeprefix("module:")
            raise CheckpointError(f"{path} was built on a teacher of your own ({name}); give it again: "
                                  f"D24FAD.load(path, teacher={name}(...))")
        settings["teacher"] = teacher
    config = D24FADConfig.from_dict(settings)
    needs_no_weights = bool(kept) and isinstance(config.teacher, str)
    model = cls(config.replace(weights="random") if needs_no_weights else config)
    model.config = config
    if kept:
        _load((model.teacher, kept, f"the teacher in {path}"))
        _restore_input(model.teacher, facts)
    if model.teacher.fingerprint() != facts["teacher"]:
        raise CheckpointError(f"{path} was trained with another teacher than the one at hand "
                              f"({config.teacher}, weights {config.weights!r}); its scores would be meaningless")
    load_trainable(model, {n: t for n, t in tensors.items() if not n.startswith("teacher.")}, str(path))
    return model


def _restore_input(teacher: Teacher, facts: dict[str, Any]) -> None:
    """Where a stored teacher's weights came from, and the normalisation that belongs to them."""
    if "weights_source" in facts:  # files of version 0.1 do not say; their normalisation is that of timm's name
        teacher.weights_source = WeightsSource(**facts["weights_source"])
        for buffer, name in ((teacher.mean, "mean"), (teacher.std, "std")):
            buffer.copy_(torch.tensor(facts[name]).view(1, 3, 1, 1))


def load_trainable(model: D24FAD, tensors: dict[str, Tensor], origin: str) -> None:
    """Load `student.*` and `weighting.*`, all of them."""
    _load(*((getattr(model, part), {n.removeprefix(f"{part}."): t for n, t in tensors.items()
                                    if n.startswith(f"{part}.")}, f"{part} in {origin}")
            for part in ("student", "weighting")))


def load_official(model: D24FAD, path: str | Path) -> None:
    """Load `{'decoder', 'weight'}` as the released code saves it, also from data-parallel training."""
    loaded = read_torch_file(path)
    if not isinstance(loaded, dict) or not {"decoder", "weight"} <= set(loaded):
        found = sorted(map(str, loaded)) if isinstance(loaded, dict) else type(loaded).__name__
        raise CheckpointError(f"{path} is not a checkpoint of the released code: expected the entries 'decoder' and "
                              f"'weight', found {found}")
    _load(*((module, strip_module_prefix(loaded[part], path), f"{part!r} in {path}")
            for module, part in ((model.student, "decoder"), (model.weighting, "weight"))))


def _load(*parts: tuple[nn.Module, dict[str, Tensor], str]) -> None:
    """Load (module, tensors, where they are from), all of them or, where one does not fit, none."""
    for module, tensors, origin in parts:
        _require_fit(module, tensors, origin)
    for module, tensors, _ in parts:
        module.load_state_dict(tensors, strict=False)


def _require_fit(module: nn.Module, tensors: dict[str, Tensor], origin: str) -> None:
    expected = module.state_dict()
    missing = [n for n in expected if n not in tensors and not OPTIONAL.search(n)]
    unknown = [n for n in tensors if n not in expected]
    shapes = [n for n in tensors if n in expected and tensors[n].shape != expected[n].shape]
    if missing or unknown or shapes:
        first = (missing + unknown + shapes)[0]
        found = tuple(tensors[first].shape) if first in tensors else "nothing"
        wanted = tuple(expected[first].shape) if first in expected else "nothing"
        raise CheckpointError(
            f"{origin} belongs to another architecture than {type(module).__name__}: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown, {len(shapes)} of another shape (first: {first}, found {found}, expected "
            f"{wanted}); build the model with the teacher that the checkpoint was trained with"
        )
