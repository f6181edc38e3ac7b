"""Anomaly maps laid over their images in grey, on one colour scale for the whole folder.

A scale per image would paint something red on every healthy one. The supports, known to be normal, set the scale:
each is scored with the others as its supports; of a single one the mirror image is scored, with the support as it is.
Nothing is painted at or below the median of these maps, half strength is the highest value that any of them reaches,
full strength is as far again. Grey, because red on pink histology or on an orange fundus would not be seen.
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
from d24fad_lite.model.interface import Bank, Detector
from d24fad_lite.predicting.odd_supports import odd_supports

MOST_COMPARED = 32  # supports that are scored against the others; more would hardly change the scale


@dataclass(frozen=True)
class SupportReference:
    """How the supports themselves score, each against the others, and what follows for other images.

    Attributes
    ----------
    scores : list of float, of at most `MOST_COMPARED` supports
    color_limits : (low, high), of the colour scale
    suspicion, odd : how unlike the others each support is, and which stand apart, see `odd_supports`
    """

    scores: list[float]
    color_limits: tuple[float, float]
    suspicion: list[float]
    odd: list[int]


def support_reference(model: Detector, images: Tensor) -> tuple[Bank, SupportReference]:
    """Encode supports [K, 3, S, S], and score each against the others (a single one against its mirror image)."""
    parts = [model.encode_supports(part) for part in images.split(32)]
    bank = type(parts[0]).join(parts)
    if len(images) == 1:
        predictions = [model.predict(images.flip(-1), _unmirrored(bank))]
    else:
        compared = range(min(len(images), MOST_COMPARED))
        predictions = [model.predict(images[i : i + 1], _without(bank, i)) for i in compared]
    maps = torch.stack([prediction.anomaly_map[0] for prediction in predictions])  # (K, S, S)
    scores = [float(p.score[0]) for p in predictions]
    return bank, SupportReference(scores, color_limits(maps), *odd_supports(model, images))


def _without(bank: Bank, position: int) -> Bank:
    """All supports but one; a bank that decides something from its supports has a way of its own."""
    own = getattr(bank, "without", None)
    return own(position) if own else bank.select(leave_one_out(len(bank))[position])


def _unmirrored(bank: Bank) -> Bank:
    """The bank to which a support's mirror image is a new image; one that holds mirror images has a way of its own."""
    own = getattr(bank, "unmirrored", None)
    return own() if own else bank


def write_heatmap(image: Path, values: np.ndarray, limits: tuple[float, float], size: int, target: Path) -> None:
    """Lay a map [S, S] over its image file, in the image's proportions with `size` px on the longer side."""
    width, height = stored_size(image)
    scale = size / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    write_bytes(target, encoded(overlay_grey(pixels(decode_image(image, size)), values, limits, shape)))
