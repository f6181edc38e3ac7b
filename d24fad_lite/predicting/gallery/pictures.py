"""Pictures for the page: an image in its own colours, and its map as a layer of colours that tissue does not have.

Red over pink histology or an orange fundus is not seen, and a grey version hides lesions of colour. So the layer is
cyan, which none of the kit's kinds of images holds, with dark-edged lines where the map is as high as it gets anywhere
on a support (half strength of the scale), and as far again (full strength). The fill grows with the square of the
strength: what supports show among themselves hardly tints an image, whose own colours are what a reader looks for.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from d24fad_lite.data.images import decode_image, stored_size
from d24fad_lite.figures.overlay import encoded, pixels

LONGER_SIDE = 320  # px
QUALITY = 85
FILL = (0, 210, 255)
HALF_LINE, FULL_LINE, EDGE = (0, 235, 255), (255, 236, 0), (10, 14, 20)
MOST_COVER = 0.5  # of the fill, where the map is at full strength


def image_pictures(
    path: Path, anomaly_map: np.ndarray | None, limits: tuple[float, float], side: int = LONGER_SIDE
) -> tuple[bytes, bytes | None]:
    """An image file as a JPEG, and its map [S, S] as a PNG with transparency of the same size.

    Parameters
    ----------
    path : Path
    anomaly_map : float [S, S], or None for no layer
    limits : (float, float)
        Values of the map without colour and of full colour, the same for all images of a folder.
    side : int
        Longer side of both in pixels, default 320; the image's proportions are kept.

    Raises
    ------
    ImageError : the file cannot be read.
    """
    width, height = stored_size(path)
    scale = side / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = Image.fromarray(pixels(decode_image(path, side)))
    picture = np.asarray(square.resize(size, Image.Resampling.LANCZOS))
    layer = None if anomaly_map is None else map_layer(anomaly_map, limits, size)
    return encoded(picture, "JPEG", QUALITY), None if layer is None else _png(layer)


def map_layer(anomaly_map: np.ndarray, limits: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """A map [S, S] as uint8 [H, W, 4]: transparent where it is low, lines at half and at full strength.

    size : (width, height) in pixels
    """
    low, high = limits
    stretched = Image.fromarray(np.asarray(anomaly_map, np.float32)).resize(size, Image.Resampling.BILINEAR)
    heat = np.clip((np.asarray(stretched) - low) / max(high - low, 1e-12), 0, 1)  # (H, W)
    layer = np.zeros((*heat.shape, 4), np.uint8)
    layer[..., :3] = FILL
    layer[..., 3] = (255 * MOST_COVER * heat**2).round() // 8 * 8  # in steps, which compress well and are not seen
    for level, color in ((0.5, HALF_LINE), (1.0, FULL_LINE)):
        inside = heat >= level
        line = binary_dilation(inside, iterations=2) & ~inside
        edge = binary_dilation(line) & ~line
        layer[edge] = (*EDGE, 170)
        layer[line] = (*color, 255)
    return layer


def _png(layer: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(layer).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
