"""Contact sheets: small pictures of some images of each class, masks outlined, as text for an HTML page."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from d24fad_lite.data.images import ImageError, decode_image, read_mask, stored_size
from d24fad_lite.data.mask_pixels import resize_mask
from d24fad_lite.evaluation.intake.tables import Part
from d24fad_lite.files import data_uri

SIDE = 160  # pixels on the longer side
OUTLINE = (255, 210, 0)  # seen on grey scans, pink tissue and orange fundi
SHADOW = (0, 0, 0)


@dataclass(frozen=True)
class Thumbnail:
    """One picture on the contact sheet.

    Attributes
    ----------
    name, note : str
        Shown below it.
    uri : str
        The picture as a data URI, "" where it cannot be read.
    width, height : int, in pixels
    """

    name: str
    note: str
    uri: str
    width: int = SIDE
    height: int = SIDE


def thumbnails(part: Part, label: int | None, most: int) -> Iterator[Thumbnail]:
    """Up to `most` images of one class (None: all), evenly spread over the list, those with masks first."""
    images = part.images
    chosen = np.arange(len(images)) if label is None else np.flatnonzero(images.labels == label)
    with_mask = [int(i) for i in chosen if images.mask_paths[i] is not None]
    pool = with_mask if label == 1 and len(with_mask) >= most else [int(i) for i in chosen]
    for i in _spread(pool, most):
        try:
            yield _thumbnail(part, i)
        except ImageError:
            yield Thumbnail(images.names[i], "see the findings", "")


def _spread(positions: Sequence[int], most: int) -> list[int]:
    """Up to `most` of the positions, at even distances."""
    if len(positions) <= most:
        return list(positions)
    return [positions[round(k)] for k in np.linspace(0, len(positions) - 1, most)] if most else []


def _thumbnail(part: Part, i: int) -> Thumbnail:
    """Image i in its stored proportions, with the outline of its mask. Raises ImageError."""
    path, mask = part.images.paths[i], part.images.mask_paths[i]
    width, height = stored_size(path)
    scale = SIDE / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = decode_image(path, SIDE)
    pixels = square if square.dtype == np.uint8 else (square >> 8).astype(np.uint8)
    shown = np.array(Image.fromarray(pixels).resize(shape, Image.Resampling.LANCZOS))  # [H, W, 3]
    note = part.images.kinds[i] or ""
    if mask is not None:
        try:
            marked = Image.fromarray(resize_mask(read_mask(mask), SIDE)).resize(shape, Image.Resampling.NEAREST)
            draw_outline(shown, np.asarray(marked))
        except ImageError:
            note = f"{note} mask cannot be read".strip()
    return Thumbnail(part.images.names[i], note, _data_uri(shown), *shape)


def draw_outline(pixels: np.ndarray, marked: np.ndarray) -> None:
    """Draw a line along the border of the marked pixels [H, W] into [H, W, 3], in place: yellow within a dark one."""
    outer = _dilated(marked)
    pixels[_dilated(outer) & ~outer] = SHADOW
    pixels[outer & ~_eroded(marked)] = OUTLINE


def _dilated(marked: np.ndarray) -> np.ndarray:
    padded = np.pad(marked, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | marked


def _eroded(marked: np.ndarray) -> np.ndarray:
    padded = np.pad(marked, 1)  # the image ends where the mask does: a line along the edge is drawn too
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & marked


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=88)
    return data_uri(buffer.getvalue(), "jpeg")
