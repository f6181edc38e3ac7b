"""Anomaly maps laid over their images in grey, on one colour scale for the whole folder.

A scale per image would paint something red on every healthy one. The supports, known to be normal, set the scale:
each is scored with the others as its supports. Nothing is painted at or below the median of their maps, half strength
is the highest value that any of them reaches, full strength is as far again. Grey, because red on pink histology or
on an orange fundus would not be seen.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from ..data.images import decode_image, stored_size

if TYPE_CHECKING:
    from ..model.detector import D24FAD
    from ..model.features import SupportBank

MOST_COMPARED = 32  # supports that are scored against the others; more would tell nothing new
STRENGTH = 0.65  # opacity of the colour at full strength


@dataclass(frozen=True)
class Reference:
    """What the supports say of themselves: scores of each against the others, and the limits of the colours."""

    scores: list[float]
    low: float
    high: float


def support_reference(model: D24FAD, images: Tensor) -> tuple[SupportBank, Reference]:
    """Encode supports [K, 3, S, S], and score each against the others (a single one against its mirror image)."""
    from ..model.features import SupportBank

    bank = SupportBank.join([model.encode_supports(part) for part in images.split(32)])
    count = len(images)
    if count == 1:
        predictions = [model.predict(images.flip(-1), bank)]
    else:
        predictions = [model.predict(images[i : i + 1], bank.select([k for k in range(count) if k != i]))
                       for i in range(min(count, MOST_COMPARED))]
    maps = np.stack([p.anomaly_map[0].float().cpu().numpy() for p in predictions])  # (K, S, S)
    middle, top = float(np.median(maps)), float(maps.max())
    return bank, Reference([float(p.score[0]) for p in predictions], middle, middle + 2 * max(top - middle, 1e-6))


def write_heatmap(image: Path, values: np.ndarray, reference: Reference, size: int, target: Path) -> None:
    """Lay a map [S, S] over its image file, in the image's proportions with `size` px on the longer side; atomic."""
    width, height = stored_size(image)
    scale = size / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = decode_image(image, size)
    pixels = square if square.dtype == np.uint8 else (square >> 8).astype(np.uint8)
    grey = Image.fromarray(pixels).convert("L").resize(shape, Image.Resampling.LANCZOS)
    base = np.asarray(grey, np.float32)[:, :, None]  # (H, W, 1)
    resized = Image.fromarray(values.astype(np.float32)).resize(shape, Image.Resampling.BILINEAR)
    level = np.clip((np.asarray(resized) - reference.low) / (reference.high - reference.low), 0, 1)  # (H, W)
    opacity = STRENGTH * level[:, :, None]
    mixed = (1 - opacity) * base + opacity * _colors()[(level * 255).astype(int)]
    buffer = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(buffer, format="PNG")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.partial")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, target)


@cache
def _colors() -> np.ndarray:
    """Red to yellow, float [256, 3] in 0..255."""
    steps = np.linspace(0, 1, 256)
    return np.stack([np.full(256, 255.0), 235 * steps**1.5, 40 * steps**3], axis=1)
