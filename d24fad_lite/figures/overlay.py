"""An anomaly map laid over its image as plain pixels: the one home of it for widgets, figures and heatmap files."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image
from torch import Tensor

from d24fad_lite.figures.arrays import as_array

OUTLINE = (86, 180, 233)  # sky blue of Okabe and Ito: neither in the heat colours nor in the grey image
STRENGTH = 0.65  # opacity of the colour at its fullest


def pixels(image: Tensor | np.ndarray) -> np.ndarray:
    """uint8 [S, S, 3] of an image: a tensor [3, S, S] in 0..1, or an array [S, S, 3] of uint8 or uint16."""
    if isinstance(image, Tensor):
        return (image.detach().float().cpu().permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def overlay(
    image: Tensor | np.ndarray,
    anomaly_map: np.ndarray | Tensor | None,
    limits: tuple[float, float],
    mask: np.ndarray | Tensor | None = None,
    opacity: float = STRENGTH,
    size: int | None = None,
) -> np.ndarray:
    """Lay a map in red to yellow over a square image in grey, and draw the mask's outline in blue.

    Parameters
    ----------
    image : Tensor or ndarray
        As for `pixels`. Its grey version is the ground, because red on pink histology is not seen.
    anomaly_map : ndarray or Tensor [S, S], or None
        None shows the image alone, in its own colours.
    limits : (float, float)
        The values without colour and of full colour. Take one pair for all images that are compared, see
        `model.anomaly_map.color_limits`.
    mask : bool [S, S], optional
        Outlined where it holds any pixel.
    opacity : float
        Of the colour at its fullest, 0..1, default 0.65.
    size : int, optional
        Side of the result in pixels, default the image's.

    Returns
    -------
    ndarray of uint8 [size, size, 3]
    """
    base = Image.fromarray(pixels(image))
    size = size or base.width
    base = base.resize((size, size), Image.Resampling.BICUBIC)
    if anomaly_map is None or opacity <= 0:
        painted = np.array(base)
    else:
        # Single precision takes half the time, which a control of the opacity needs.
        painted = _painted(base.convert("L"), anomaly_map, limits, min(opacity, 1.0), heat_colors(np.float32))
    if mask is not None and as_array(mask).any():
        painted[outline(as_array(mask, bool), size)] = OUTLINE
    return painted


def overlay_grey(
    picture: Image.Image | np.ndarray,
    anomaly_map: np.ndarray | Tensor,
    limits: tuple[float, float],
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Lay a map in red to yellow over a picture of any proportions in grey, at an opacity of 0.65.

    Parameters
    ----------
    picture : PIL image, or ndarray of uint8 [H, W, 3] or [H, W]
        Turned to grey, then brought to `size`.
    anomaly_map : ndarray or Tensor [S, S]
        Stretched over the whole picture.
    limits : (float, float)
        The values without colour and of full colour, one pair for all pictures that are compared.
    size : (int, int), optional
        Width and height of the result in pixels, default those of `picture`.

    Returns
    -------
    ndarray of uint8 [H, W, 3]
    """
    grey = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("L")
    if size is not None:
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    return _painted(grey, anomaly_map, limits, STRENGTH, heat_colors())


def _painted(
    grey: Image.Image,
    anomaly_map: np.ndarray | Tensor,
    limits: tuple[float, float],
    opacity: float,
    colors: np.ndarray,
) -> np.ndarray:
    """uint8 [H, W, 3]: a grey picture below a map [S, S] stretched over it, colours [256, 3] from low to high."""
    if isinstance(anomaly_map, Tensor):
        anomaly_map = anomaly_map.detach().float().cpu().numpy()
    stretched = Image.fromarray(np.asarray(anomaly_map, np.float32)).resize(grey.size, Image.Resampling.BILINEAR)
    low, high = limits
    heat = np.clip((np.asarray(stretched) - low) / max(high - low, 1e-12), 0, 1)  # (H, W)
    cover = opacity * heat[:, :, None]
    base = np.asarray(grey, np.float32)[:, :, None]  # (H, W, 1)
    mixed = (1 - cover) * base + cover * colors[(heat * 255).astype(int)]
    return mixed.round().astype(np.uint8)


def outline(mask: np.ndarray, size: int) -> np.ndarray:
    """The line just outside a mask [S, S], about 1 % of the side thick; bool [size, size]."""
    from scipy.ndimage import binary_dilation

    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BILINEAR)
    large = np.asarray(picture) > 127
    return binary_dilation(large, iterations=max(1, size // 120)) & ~large


@cache
def heat_colors(dtype: type[np.floating] = np.float64) -> np.ndarray:
    """Red to yellow, [256, 3] in 0..255; brightness rises, so the order is also seen without colour."""
    steps = np.linspace(0, 1, 256, dtype=dtype)
    return np.stack([np.full(256, 255, dtype), 235 * steps**1.5, 40 * steps**3], axis=1)


def encoded(square: np.ndarray, kind: str = "PNG", quality: int = 82) -> bytes:
    """Bytes of an image file from uint8 [H, W, 3]; kind "PNG" or "JPEG", for which `quality` counts, 1..95."""
    buffer = io.BytesIO()
    Image.fromarray(square).save(buffer, kind, **({"quality": quality} if kind == "JPEG" else {}))
    return buffer.getvalue()
