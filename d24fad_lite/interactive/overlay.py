"""An anomaly map laid over its image as plain pixels: fast enough for a slider, the same in widgets and figures."""

from __future__ import annotations

import base64
import io
from functools import cache

import numpy as np
from PIL import Image
from torch import Tensor

OUTLINE = (86, 180, 233)  # sky blue of Okabe and Ito: neither in the heat colours nor in the grey image


def pixels(image: Tensor | np.ndarray) -> np.ndarray:
    """uint8 [S, S, 3] of an image: a tensor [3, S, S] in 0..1, or an array [S, S, 3] of uint8 or uint16."""
    if isinstance(image, Tensor):
        return (image.detach().float().cpu().permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def overlay(image: Tensor | np.ndarray, anomaly_map: np.ndarray | Tensor | None, limits: tuple[float, float],
            mask: np.ndarray | Tensor | None = None, opacity: float = 0.65, size: int | None = None) -> np.ndarray:
    """The map in red to yellow over the image in grey, the mask's outline in blue; uint8 [size, size, 3].

    Parameters
    ----------
    image : as for `pixels`; its grey version is the ground, because red on pink histology is not seen.
    anomaly_map : [S, S], or None for the image alone.
    limits : values without colour, and of full colour. Take one pair for all images that are compared.
    mask : bool [S, S], outlined where there is any.
    opacity : 0..1, of the colour at its fullest.
    size : side in pixels, default the image's.
    """
    base = Image.fromarray(pixels(image))
    size = size or base.width
    base = base.resize((size, size), Image.Resampling.BICUBIC)
    if anomaly_map is None or opacity <= 0:
        mixed = np.asarray(base, np.float32)
    else:
        grey = np.asarray(base.convert("L"), np.float32)[:, :, None]  # (H, W, 1)
        values = Image.fromarray(np.asarray(anomaly_map, np.float32)).resize((size, size), Image.Resampling.BILINEAR)
        low, high = limits
        level = np.clip((np.asarray(values) - low) / max(high - low, 1e-12), 0, 1)  # (H, W)
        strength = min(opacity, 1.0) * level[:, :, None]
        mixed = (1 - strength) * grey + strength * heat_colors()[(level * 255).astype(int)]
    mixed = mixed.round().astype(np.uint8)
    if mask is not None and np.asarray(mask).any():
        mixed[outline(np.asarray(mask, bool), size)] = OUTLINE
    return mixed


def outline(mask: np.ndarray, size: int) -> np.ndarray:
    """The line just outside a mask [S, S], about 1 % of the side thick; bool [size, size]."""
    from scipy.ndimage import binary_dilation

    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BILINEAR)
    large = np.asarray(picture) > 127
    return binary_dilation(large, iterations=max(1, size // 120)) & ~large


@cache
def heat_colors() -> np.ndarray:
    """Red to yellow, float32 [256, 3] in 0..255; brightness rises, so the order is also seen without colour."""
    steps = np.linspace(0, 1, 256, dtype=np.float32)
    return np.stack([np.full(256, 255, np.float32), 235 * steps**1.5, 40 * steps**3], axis=1)


def encoded(square: np.ndarray, kind: str = "PNG", quality: int = 82) -> bytes:
    """Bytes of an image file from uint8 [H, W, 3]; kind "PNG" or "JPEG"."""
    buffer = io.BytesIO()
    Image.fromarray(square).save(buffer, kind, **({"quality": quality} if kind == "JPEG" else {}))
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "png") -> str:
    """Image bytes as a data: address for HTML and CSS."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
