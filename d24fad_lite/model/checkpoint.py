"""Reading and writing tensors without ever running code from a file."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from d24fad_lite.files import UnreadableFile, replacing, sha256_of

TORCH_FILES = (b"PK", b"\x80")  # how they begin: a zip (since 1.6) or a pickle (before)
DIGEST = "content_sha256"  # over a file's tensors and its other metadata


class CheckpointError(UnreadableFile):
    """A checkpoint that cannot be read, is refused, or belongs to another architecture."""


class WeightsError(RuntimeError):
    """The teacher's weights cannot be had; the message names the ways out."""


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Path:
    """Write tensors and JSON metadata as one safetensors file, whole or not at all, with a sha256 over both.

    Raises
    ------
    OSError : the file cannot be written; the text names it and the reason.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # One entry alone: safetensors writes several in an order that changes from run to run.
    texts = {"d24fad_lite": json.dumps({**metadata, DIGEST: _digest(on_cpu, metadata)})}
    try:
        with replacing(path) as partial:
            save_file(on_cpu, partial, metadata=texts)
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write {path}: {error}; choose a folder that can be written") from error
    return Path(path)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file written by `write_tensors`, as they were written.

    Raises
    ------
    FileNotFoundError : no such file.
    CheckpointError : not one of the kit's safetensors files, or changed since it was written (files of version 0.1
        hold no sha256 and are believed).
    """
    path = _existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("d24fad_lite")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); "
            "D24FAD.save writes one, load_official_checkpoint reads .pth files"
        ) from error
    if text is None:
        raise CheckpointError(f"{path} was not written by d24fad_lite: its metadata is missing")
    metadata = _metadata(text, path)
    if metadata.pop(DIGEST, None) not in (None, _digest(tensors, metadata)):
        raise CheckpointError(
            f"{path} is damaged: its content is not what was written (sha256 differs); "
            "take it from a copy, or make it anew"
        )
    return tensors, metadata


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """A flat state dict from .safetensors or a torch file; wrappers (`state_dict`, `model`, `module.`) come off.

    Torch files are read with `weights_only=True`: a pickle that would run code is refused, not executed.
    """
    path = _existing(path)
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                loaded: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
    else:
        loaded = read_torch_file(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    return strip_module_prefix(loaded, path)


def read_torch_file(path: str | Path) -> Any:
    """What a torch checkpoint holds, tensors and plain containers only."""
    path = _existing(path)
    with path.open("rb") as file:
        start = file.read(32)
    if not start.startswith(TORCH_FILES):
        raise CheckpointError(f"{path} is no torch checkpoint: it begins with {start!r}, expected a zip or a pickle")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} was refused: it holds more than tensors, and loading it could run code. "
            "Nothing of it was executed. Save it again as a plain state dict or as safetensors"
        ) from error
    except Exception as error:  # whatever a damaged file does to the unpickler
        raise CheckpointError(f"{path} is not a readable torch checkpoint ({type(error).__name__}: {error})") from error


def strip_module_prefix(loaded: Any, origin: str | Path) -> dict[str, Tensor]:
    """The dict without the `module.` that (distributed) data parallel training puts before each name."""
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(
            f"{origin} does not hold a state dict: expected names and tensors, found {type(loaded).__name__}"
        )
    if odd := [name for name in loaded if not isinstance(name, str)]:
        raise CheckpointError(f"{origin} does not hold a state dict: {odd[0]!r} is no name of a tensor")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _metadata(text: str, path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged: its metadata is no JSON ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path} is damaged: its metadata is {type(metadata).__name__}, expected an object")
    return metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """sha256 over the metadata and over names, types, shapes and values of tensors."""
    parts: list[str | memoryview] = [json.dumps(metadata)]
    for name, tensor in sorted(tensors.items()):
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}", bytes_of(tensor)]
    return sha256_of(*parts)


def bytes_of(tensor: Tensor) -> memoryview:
    """The values of a tensor of any shape and device as bytes, in the order of its elements, for a hash."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def _existing(path: str | Path) -> Path:
    """The path, once it is known to be a file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist or is not a file; check the path")
    return path


def unusable_numbers(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Why tensors cannot stand for those of the same names: another kind of number, NaN, infinity; or ""."""
    for name, tensor in tensors.items():
        if name not in expected:
            continue
        if tensor.is_floating_point() != expected[name].is_floating_point():
            return f"{name} holds {tensor.dtype}, expected {expected[name].dtype}"
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return f"{name} holds NaN or infinite numbers"
    return ""
