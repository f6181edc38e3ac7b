"""What images must be before the model takes them: one clear error in place of a score that means nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def check_images(images: Tensor, size: int, role: str, check_range: bool = False) -> None:
    """Refuse images that are not float [N, 3, size, size], finite and (if asked) in 0..1.

    Parameters
    ----------
    images : Tensor
    size : int, side of the images in pixels
    role : str, what the error calls the images, such as "queries"
    check_range : bool, default False; whether values outside 0..1 are refused, too

    Raises
    ------
    ValueError : says what was found, what is expected, and what to do.
    """
    if torch.compiler.is_compiling():
        return  # traced for an export: values are not known, and shapes are the exporter's own
    if not isinstance(images, Tensor) or not images.is_floating_point():
        given = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"{role} must be a float tensor [N, 3, {size}, {size}] in 0..1, found {given}; divide 8-bit images by 255"
        )
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise ValueError(
            f"{role} have shape {tuple(images.shape)}, expected [N, 3, {size}, {size}]; resize the images "
            f"to squares of {size} px, or build the model with another image_size"
        )
    low, high = images.aminmax() if images.numel() else (torch.zeros(()), torch.zeros(()))
    if not (torch.isfinite(low) and torch.isfinite(high)):
        bad = (~torch.isfinite(images)).flatten(1).any(dim=1).nonzero().flatten().tolist()
        raise ValueError(
            f"{role} {bad} contain NaN or infinite values; find out where they come from, the model cannot score them"
        )
    if check_range and (low < -1e-3 or high > 1 + 1e-3):
        raise ValueError(
            f"{role} must lie in 0..1, found values from {low:.3g} to {high:.3g}; divide 8-bit images by "
            "255 and leave normalisation to the model"
        )


def require_supports(images: object) -> None:
    """Refuse a batch [0, 3, S, S]; anything else is for `check_images`, or is TeacherFeatures."""
    if isinstance(images, Tensor) and images.ndim == 4 and len(images) == 0:
        raise ValueError("encode_supports() got 0 images; at least one normal reference image is needed")


def check_supports(supports: Tensor, batch: int) -> None:
    """Refuse supports of a training step that are not [K, B, 3, S, S] (own ones for each of the `batch` queries) or
    [K, 3, S, S] (the same for all). Raises ValueError."""
    if supports.ndim not in (4, 5) or len(supports) == 0:
        raise ValueError(
            f"supports have shape {tuple(supports.shape)}; expected [K, B, 3, S, S] (own supports "
            "for each query) or [K, 3, S, S] (the same for all), K at least 1"
        )
    if supports.ndim == 5 and supports.shape[1] != batch:
        raise ValueError(
            f"supports have shape {tuple(supports.shape)}, for {supports.shape[1]} queries; the batch has {batch}"
        )
