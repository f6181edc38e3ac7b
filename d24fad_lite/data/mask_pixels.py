"""Which pixels a mask file marks, judged by what a viewer would show: colours of a palette, what transparency hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from d24fad_lite.data.formats.recognise import ImageError
from d24fad_lite.data.formats.stored_pixels import DeepPixels, StoredPixels

_BAND = 2**22  # pixels compared at a time, so that a large mask does not need several copies of itself
_LOSSY_LIMIT = 127  # of 255; JPEG leaves noise around zero, so only brighter pixels are marked


def marked_pixels(stored: StoredPixels, path: Path) -> np.ndarray:
    """bool [H, W]: True where the mask shows anything but black.

    * A palette counts by the colour it shows, not by its index; ink (CMYK) as the colour it prints.
    * Transparent pixels show nothing, whatever colour lies under them. Where all that can be seen is black, the shape
      is in the transparency alone (a black brush on an empty layer): then every visible pixel is marked.
    * Transparency that is the same everywhere is ignored.

    Raises ImageError for NaN and infinite values.
    """
    if isinstance(stored, DeepPixels):
        values, alpha = stored.values, stored.alpha
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ImageError(f"mask '{path}' holds NaN or infinite values; write it again with 0 for normal pixels")
        limit = _LOSSY_LIMIT / 255 * stored.top if stored.lossy else 0
        return _visible(_coloured(values, limit), None if alpha is None else alpha != 0)
    return _visible(*_by_bands(stored.picture, _LOSSY_LIMIT if stored.lossy else 0))


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resize a mask, bool [H, W] -> bool [S, S]: any coverage where it shrinks, the nearest pixel where it grows.

    One axis after the other gives the same, since "any" over a rectangle is "any" over its rows and then columns.
    """
    for axis in (0, 1):
        length = mask.shape[axis]
        steps = np.arange(size)
        if size >= length:
            mask = mask.take((2 * steps + 1) * length // (2 * size), axis=axis)
            continue
        first, last = steps * length // size, -((-(steps + 1) * length) // size)
        parts = [mask.take(range(a, b), axis=axis).any(axis=axis) for a, b in zip(first, last, strict=True)]
        mask = np.stack(parts, axis=axis)
    return np.ascontiguousarray(mask)


def _by_bands(picture: Image.Image, limit: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(coloured, visible) of a picture, bool [H, W], computed band by band; `visible` is None without transparency."""
    width, height = picture.size
    coloured = np.empty((height, width), bool)
    visible = np.empty((height, width), bool) if picture.has_transparency_data else None
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = picture if rows >= height else picture.crop((0, top, width, min(height, top + rows)))
        if visible is not None:
            pixels = np.asarray(band.convert("RGBA"))
            visible[top : top + rows] = pixels[:, :, 3] > 0
            pixels = pixels[:, :, :3]
        else:
            pixels = np.asarray(band if band.mode in ("1", "L", "RGB") else band.convert("RGB"))
        coloured[top : top + rows] = _coloured(pixels, limit)
    return coloured, visible


def _coloured(values: np.ndarray, limit: float) -> np.ndarray:
    """bool [H, W]: where any channel of [H, W] or [H, W, C] is above `limit`; for limit 0, where it is not zero."""
    if values.ndim == 2:
        return values > limit if limit else values != 0
    marked = _coloured(values[:, :, 0], limit)
    for channel in range(1, values.shape[2]):  # several times faster than `any` over the last axis
        marked |= _coloured(values[:, :, channel], limit)
    return marked


def _visible(coloured: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    """The marked pixels by colour and visibility, both bool [H, W]; see `marked_pixels` for the rules."""
    if visible is None or visible.all() or not visible.any():
        return coloured
    shown = coloured & visible
    return shown if shown.any() else visible
