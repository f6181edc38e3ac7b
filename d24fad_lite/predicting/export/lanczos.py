"""Pillow's Lanczos resize as two matrix products, for images of any size, so that it can be part of a graph.

Row i of the matrix holds the weights of output pixel i: with scale r = H / S and f = max(r, 1), the filter
L(x) = sinc(x) sinc(x / 3) at (y + 0.5 - c_i) / f around the centre c_i = (i + 0.5) r, cut at 3 f, normalised to 1.
8-bit images go through fixed point, as in Pillow: weights are rounded to 2^-22, results of each pass to whole numbers.
"""

from __future__ import annotations

import math

import PIL
import torch
from torch import Tensor

PI = torch.tensor(math.pi, dtype=torch.float64)  # a bare number reaches ONNX in single precision, which moves pixels
REACH = 3.0  # of the filter, in pixels of the coarser grid
DOWN_MAY_BE_FIRST = int(PIL.__version__.split(".")[0]) >= 13
FIXED_POINT = 2.0**22  # Pillow's weights for 8-bit images are multiples of its inverse


def lanczos_matrix(length: int, size: int, like: Tensor) -> Tensor:
    """Weights float64 [size, length] that bring `length` pixels to `size`; on the device of `like`."""
    rows = torch.arange(size, dtype=torch.float64, device=like.device)
    columns = torch.arange(length, dtype=torch.float64, device=like.device)
    scale = _number(length, like) / size  # a tensor, since the length is not known while a graph is traced
    stretch = scale.clamp_min(1.0)
    centers = ((rows + 0.5) * scale)[:, None]  # (S, 1)
    reach = REACH * stretch
    first = torch.floor((centers - reach + 0.5).clamp_min(0.0))
    last = torch.floor(centers + reach + 0.5)  # not included
    x = (columns + 0.5 - centers) / stretch  # (S, H)
    weights = torch.where((columns >= first) & (columns < last) & (x >= -REACH) & (x < REACH), _lanczos(x), 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def resize_pixels(image: Tensor, size: int) -> Tensor:
    """An 8-bit image uint8 [H, W, C] -> float64 [size, size, C], whole numbers 0..255: what Pillow gives.

    The order of the passes matters, since the first one is rounded and clipped: across first, but from Pillow 13 on
    down first where the height shrinks by more than twice as many pixels as the width.
    """
    height, width = image.shape[0], image.shape[1]
    across = _fixed_point(lanczos_matrix(width, size, image))
    down = _fixed_point(lanczos_matrix(height, size, image))
    pixels = image.to(torch.float64)
    across_first = _whole(torch.einsum("th,hsc->tsc", down, _whole(torch.einsum("sw,hwc->hsc", across, pixels))))
    if not DOWN_MAY_BE_FIRST:
        return across_first
    down_first = _whole(torch.einsum("sw,twc->tsc", across, _whole(torch.einsum("th,hwc->twc", down, pixels))))
    shrinks = _number(height, image) - size
    return torch.where((shrinks > 0) & (shrinks > 2 * (_number(width, image) - size)), down_first, across_first)


def resize_unit(image: Tensor, size: int) -> Tensor:
    """A float image [H, W, C] in 0..1 -> float64 [size, size, C], as Pillow resizes its mode F; overshoot is left."""
    height, width = image.shape[0], image.shape[1]
    x = torch.einsum("sw,hwc->hsc", lanczos_matrix(width, size, image), image.to(torch.float64))
    x = torch.einsum("th,hsc->tsc", lanczos_matrix(height, size, image), x.float().to(torch.float64))
    return x.float().to(torch.float64)


def _number(value: int, like: Tensor) -> Tensor:
    """A whole number as float64 []."""
    return torch.full((), value, dtype=torch.float64, device=like.device)


def _lanczos(x: Tensor) -> Tensor:
    return _sinc(x) * _sinc(x / REACH)


def _sinc(x: Tensor) -> Tensor:
    turned = PI.to(x.device) * torch.where(x == 0, 1.0, x)
    return torch.where(x == 0, 1.0, torch.sin(turned) / turned)


def _fixed_point(weights: Tensor) -> Tensor:
    """Weights rounded to Pillow's fixed point, halves away from zero."""
    return torch.sign(weights) * torch.floor(weights.abs() * FIXED_POINT + 0.5) / FIXED_POINT


def _whole(x: Tensor) -> Tensor:
    """Rounded, halves up, and clipped to 0..255."""
    return torch.floor(x + 0.5).clamp(0.0, 255.0)
