"""Teacher weights that are shipped in the package: catalog.json says which, for which backbones, and how made.

Convolution weights are stored as int8 with one scale per output channel (12 MB would not hold a ResNet-18 otherwise);
loading gives float32.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from d24fad_lite.files import file_sha256, read_json
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError, read_tensors
from d24fad_lite.model.weights.source import WeightsSource

FOLDER = Path(__file__).parent
CATALOG = "catalog.json"
SCALE = ".int8_scale"  # suffix of the scales' names
SMALLEST = 1024  # tensors with fewer elements stay float32: they cost nothing


@cache
def embedded_catalog() -> dict[str, dict[str, Any]]:
    """What is known about the teachers whose weights are part of the package.

    Returns
    -------
    dict
        timm name -> file, sha256, size in bytes, and the facts of the recipe it was made by.
    """
    return read_json(FOLDER / CATALOG)


def embedded_state_dict(architecture: str) -> dict[str, Tensor]:
    """The shipped weights of a timm architecture (without classifier), float32.

    Raises WeightsError for one that has none, CheckpointError where the file is damaged.
    """
    catalog = embedded_catalog()
    if architecture not in catalog:
        raise WeightsError(
            f"no weights of {architecture!r} are embedded; those of {', '.join(sorted(catalog))} are. Choose one of "
            "them, or weights='imagenet', 'random', or the path of a checkpoint"
        )
    entry = catalog[architecture]
    path = FOLDER / entry["file"]
    if file_sha256(path) != entry["sha256"]:
        raise CheckpointError(f"{path} is damaged: its sha256 is not the one in {CATALOG}; install the package again")
    return dequantize(read_tensors(path)[0])


def embedded_source(architecture: str) -> WeightsSource:
    """The record of an architecture's shipped weights."""
    entry = embedded_catalog()[architecture]
    return WeightsSource("embedded", entry["file"], entry["sha256"])


def quantize(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Large weights to int8 with a scale per output channel (rounding error at most half a step of max|w| / 127)."""
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or tensor.numel() < SMALLEST:
            stored[name] = tensor
            continue
        per_channel = tensor.float().flatten(1)  # (C_out, rest)
        scale = (per_channel.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)  # (C_out,)
        stored[name] = (per_channel / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        stored[name + SCALE] = scale
    return stored


def dequantize(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `quantize`, float32."""
    tensors = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE):
            continue
        scale = stored.get(name + SCALE)
        if scale is not None:
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        tensors[name] = tensor
    return tensors
