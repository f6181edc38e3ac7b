"""`teacher="hf:..."`: an encoder in transformers' format, from a folder or from Hugging Face's cache.

The folder holds `config.json`, `model.safetensors` (perhaps in parts) and, as a rule, `preprocessor_config.json`.
Nothing is downloaded unless `weights="download"` asks for it; nothing is unpickled; no repository's code is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from d24fad_lite.files import JsonError, file_sha256, read_json, read_json_or_none, sha256_of
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError
from d24fad_lite.model.encoders.backbone import Backbone
from d24fad_lite.model.encoders.description import described
from d24fad_lite.model.encoders.families import HALF
from d24fad_lite.model.encoders.statistics import FILE, statistics_of
from d24fad_lite.model.encoders.transformers_network import build_pyramid, library_version
from d24fad_lite.model.weights.hub import cached_repository, fetch_repository, why_no_repository
from d24fad_lite.model.weights.source import WeightsSource

PREFIX = "hf:"
LIBRARY = "transformers"  # what a file calls encoders of this kind
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"  # of weights in several files
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")  # organisation/name, perhaps @revision
FILES = (CONFIG, FILE, "*.safetensors", "*.safetensors.index.json")


def hugging_face_backbone(teacher: str, weights: str, image_size: int, seed: int = 0) -> Backbone:
    """The encoder that `hf:FOLDER` or `hf:organisation/name` stands for, as a feature pyramid.

    Parameters
    ----------
    teacher : str, with its `hf:`
    weights : {"local", "download", "random"}
        Those of the folder or the cache; the same, fetched once where they are not there; or the architecture alone.
    image_size : int, side of the images in pixels
    seed : int, of random weights

    Raises
    ------
    ValueError : images of this size do not fit, or transformers is not installed.
    WeightsError : no such folder, nothing in the cache, or no safetensors; the text names the command that fetches.
    CheckpointError : a file that cannot be used.
    """
    name = teacher.removeprefix(PREFIX)
    folder = _folder(name, weights)
    config_path = folder / CONFIG
    if not config_path.is_file():
        raise WeightsError(
            f"teacher {teacher!r}: there is no {CONFIG} in {folder}; give a folder as transformers saves"
        )
    try:
        content = read_json(config_path)
    except JsonError as error:
        raise CheckpointError(f"{error}; mend it, or take it from where the weights came from") from error
    if isinstance(content, Mapping) and "architecture" in content and "model_type" not in content:
        raise CheckpointError(
            f"{config_path} is timm's: set teacher={content['architecture']!r} and weights='local-dir:{folder}'"
        )
    description, family = described(content, config_path)
    mean, std = statistics_of(folder, family, description["model_type"])
    if weights == "random":
        network = build_pyramid(description, family, teacher, image_size, seed)
        source = WeightsSource("random", f"seed {seed}")
    else:
        source = _source(folder, name, teacher)
        network = build_pyramid(description, family, teacher, image_size, seed, folder)
    architecture = {"library": LIBRARY, "version": library_version(), "config": description}
    return Backbone(network, mean, std, source, architecture)


def rebuilt(architecture: Mapping[str, Any], teacher: str, image_size: int) -> Backbone:
    """The network of a detector's file, to be filled with the file's tensors; opens neither folder nor network.

    Raises CheckpointError for a description that is none, and ValueError as `hugging_face_backbone`.
    """
    description, family = described(cast("Mapping[str, Any]", architecture.get("config")), "the detector's file")
    network = build_pyramid(description, family, teacher, image_size, seed=0)
    return Backbone(network, HALF, HALF, WeightsSource("random", "seed 0"), architecture)


def _folder(name: str, weights: str) -> Path:
    """Where the encoder's files lie on this computer."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if not REPOSITORY.fullmatch(name):
        raise WeightsError(
            f"teacher 'hf:{name}': there is no such folder, and a repository of Hugging Face is written "
            "'hf:organisation/name' (perhaps with '@revision'); check the path"
        )
    found = cached_repository(name, CONFIG)
    if found is not None and (weights == "random" or _complete(found)):
        return found
    if weights == "download":
        return fetch_repository(name, FILES)
    raise WeightsError(why_no_repository(name, FILES, "it is neither a folder here nor in the local cache"))


def _complete(folder: Path) -> bool:
    """Whether a folder of the cache holds weights, and all their parts where they have several."""
    index = read_json_or_none(folder / INDEX)
    parts = index.get("weight_map") if isinstance(index, dict) else None
    if isinstance(parts, dict) and parts:
        return all((folder / str(part)).is_file() for part in parts.values())
    return any(folder.glob("*.safetensors"))


def _source(folder: Path, name: str, teacher: str) -> WeightsSource:
    """The record of the folder's weights: safetensors, and nothing else."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pth", ".pt", ".h5"))
        raise WeightsError(
            f"teacher {teacher!r}: {folder} holds no .safetensors file{f', but {others}' if others else ''}; other "
            "formats can run code when they are read, so they are refused: save the model with save_pretrained(FOLDER)"
        )
    digest = file_sha256(paths[0]) if len(paths) == 1 else sha256_of(*(file_sha256(path) for path in paths))
    if Path(name).expanduser().is_dir():
        return WeightsSource("local-dir", f"{folder.resolve().name}/{paths[0].name}", digest)
    return WeightsSource("cache", name, digest)
