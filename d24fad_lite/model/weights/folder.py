"""`weights="local-dir:FOLDER"`: a folder with a checkpoint, and perhaps timm's config.json, as its hub has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor

from d24fad_lite.files import JsonError, file_sha256, read_json
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError, read_state_dict
from d24fad_lite.model.weights.source import WeightsSource
from d24fad_lite.schemas import Channels, Schema, checked

PREFIX = "local-dir:"
CONFIG = "config.json"
PREFERRED = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
SUFFIXES = (".safetensors", ".pth", ".bin")


class FolderWeights(NamedTuple):
    """What such a folder holds; mean and standard deviation are None where it does not say."""

    tensors: dict[str, Tensor]
    source: WeightsSource
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def read_folder(folder: str | Path, architecture: str) -> FolderWeights:
    """The folder's weights of a timm architecture.

    Raises WeightsError for a folder without a checkpoint, or with several and none of the usual name; CheckpointError
    where its config.json names another architecture, or a file cannot be read.
    """
    folder = Path(folder).expanduser()
    path = _checkpoint(folder)
    config = _config(folder / CONFIG)
    named = config.get("architecture")
    if named not in (None, architecture):
        raise CheckpointError(
            f"{folder / CONFIG} says that the weights are of {named!r}, not of teacher "
            f"{architecture!r}; set teacher={named!r}, or give another folder"
        )
    training = config.get("pretrained_cfg", config)
    mean, std = (tuple(training[key]) if training.get(key) else None for key in ("mean", "std"))
    source = WeightsSource("local-dir", f"{folder.resolve().name}/{path.name}", file_sha256(path))
    return FolderWeights(read_state_dict(path), source, mean, std)


class Statistics(Schema):
    """What timm says of a network's input."""

    mean: Channels | None = None
    std: Channels | None = None


class FolderConfig(Statistics):
    """timm's config.json, which may hold the statistics itself or one level below."""

    architecture: str | None = None
    pretrained_cfg: Statistics | None = None


Option = bool | int | float | str | list[float] | None


class ModelArgs(Schema):
    """timm's options of a model, as its config.json holds them: plain values alone."""

    model_args: dict[str, Option] | None = None


def read_model_args(folder_setting: str) -> dict[str, Any]:
    """The options with which the weights of `local-dir:FOLDER` were made; empty where its config.json names none."""
    path = Path(folder_setting.removeprefix(PREFIX)).expanduser() / CONFIG
    return checked_model_args(_config(path).get("model_args"), path)


def checked_model_args(model_args: Any, origin: object) -> dict[str, Any]:
    """Options of a timm model that are plain values and name nothing to fetch; the classifier's have no use here.

    Raises CheckpointError for anything else.
    """
    content = {"model_args": model_args}
    checked(ModelArgs, content, origin, "mend it, or pass an nn.Module of your own", CheckpointError)
    ours = ("num_classes", "global_pool", "features_only", "out_indices", "pretrained", "in_chans")
    of_files = [name for name in model_args or {} if "pretrained" in name or "checkpoint" in name or "file" in name]
    if of_files and of_files != ["pretrained"]:
        raise CheckpointError(f"{origin} has model_args that name files ({of_files[0]!r}); take them out")
    return {name: value for name, value in (model_args or {}).items() if name not in ours}


def _checkpoint(folder: Path) -> Path:
    """The folder's checkpoint: of the usual name, else the only one."""
    if not folder.is_dir():
        raise WeightsError(f"weights='{PREFIX}{folder}': there is no such folder; check the path")
    for name in PREFERRED:
        if (folder / name).is_file():
            return folder / name
    others = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(others) != 1:
        raise WeightsError(
            f"weights='{PREFIX}{folder}' must hold {' or '.join(PREFERRED)}, or one other checkpoint "
            f"({', '.join(SUFFIXES)}); it holds {[path.name for path in others] or 'none'}"
        )
    return others[0]


def _config(path: Path) -> dict[str, Any]:
    """timm's description of the weights; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        config = read_json(path)
    except JsonError as error:
        raise CheckpointError(f"{error}; mend or delete it") from error
    checked(FolderConfig, config, path, "mend or delete it", CheckpointError)
    return cast("dict[str, Any]", config)
