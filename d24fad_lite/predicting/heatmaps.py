"""Anomaly maps laid over their images in grey, on one colour scale for the whole folder.

A scale per image would paint something red on every healthy one. The supports, known to be normal, set the scale:
each is scored with the others as its supports. Nothing is painted at or below the median of their maps, half strength
is the highest value that any of them reaches, full strength is as far again. Grey, because red on pink histology or
on an orange fundus would not be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.data.images import decode_image, stored_size
from d24fad_lite.data.supports import leave_one_out
from d24fad_lite.figures.overlay import encoded, overlay_grey, pixels
from d24fad_lite.files import write_bytes
from d24fad_lite.model.anomaly_map import color_limits
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import SupportBank

MOST_COMPARED = 32  # supports that are scored against the others; more would hardly change the scale


@dataclass(frozen=True)
class SupportReference:
    """How the supports themselves score, each against the others, and the limits (low, high) of the colour scale."""

    scores: list[float]
    color_limits: tuple[float, float]


def support_reference(model: D24FAD, images: Tensor) -> tuple[SupportBank, SupportReference]:
    """Encode supports [K, 3, S, S], and score each against the others (a single one against its mirror image)."""
    bank = SupportBank.join([model.encode_supports(part) for part in images.split(32)])
    if len(images) == 1:
        predictions = [model.predict(images.flip(-1), bank)]
    else:
        others = leave_one_out(len(images))[:MOST_COMPARED].tolist()
        predictions = [model.predict(images[i : i + 1], bank.select(rest)) for i, rest in enumerate(others)]
    maps = torch.stack([prediction.anomaly_map[0] for prediction in predictions])  # (K, S, S)
    return bank, SupportReference([float(p.score[0]) for p in predictions], color_limits(maps))


def write_heatmap(image: Path, values: np.ndarray, limits: tuple[float, float], size: int, target: Path) -> None:
    """Lay a map [S, S] over its image file, in the image's proportions with `size` px on the longer side."""
    width, height = stored_size(image)
    scale = size / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    write_bytes(target, encoded(overlay_grey(pixels(decode_image(image, size)), values, limits, shape)))
