"""One image file -> one square array: decoding, bit depth and Lanczos resizing.

Rules that hold for every format:

* The kind of a file is recognised by its content, not by its name.
* Images come out square. A source that is not square is squeezed, as `Resize((S, S))` of the released code does.
* Grey images become three equal channels. Transparency is dropped and not composited (what `convert("RGB")` does in
  torchvision's loaders, and so in the released code).
* Orientation tags are left alone: pixels stay as they are stored, so a mask always lies on its image.
* A file holds one image; several frames are refused.
* 8-bit sources give exactly Pillow's Lanczos in RGB; deeper ones are resized in float and keep 16 bits.
* White is bright, whatever number the file gives it (WhiteIsZero, MONOCHROME1).
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from d24fad_lite.data.formats.dicom import dicom_size, read_dicom
from d24fad_lite.data.formats.recognise import IMAGE_SUFFIXES, ImageError, opened
from d24fad_lite.data.formats.stored_pixels import DeepPixels, guarded, read_size, read_stored
from d24fad_lite.data.mask_pixels import marked_pixels, resize_mask

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_SIZE",
    "MIN_SIZE",
    "ImageError",
    "check_size",
    "decode_image",
    "load_image",
    "load_mask",
    "read_mask",
    "stored_size",
    "to_float",
]

MIN_SIZE, MAX_SIZE = 16, 4096  # pixels


def check_size(size: int) -> int:
    """The side of a square image, in pixels, as an int; ValueError unless it is a whole number, 16 to 4096."""
    if isinstance(size, bool) or not isinstance(size, Integral):
        raise ValueError(
            f"image size must be one whole number, the side of a square in pixels, got {size!r}; "
            "images that are not square are squeezed, so pass for example 128"
        )
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"image size must be {MIN_SIZE} to {MAX_SIZE} pixels, got {int(size)}; use for example 128")
    return int(size)


def decode_image(path: str | Path, size: int) -> np.ndarray:
    """Decode one file and bring it to a square with Lanczos.

    Integers of 9 to 15 bits count up to their own largest value, deeper ones up to 65535; floats must lie in 0..1.
    DICOM is read by `d24fad_lite.data.formats.dicom`.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, BMP, TIFF or DICOM file, whatever its name ends in.
    size : int
        Side S of the square in pixels, at least 16.

    Returns
    -------
    numpy.ndarray
        uint8 [S, S, 3] for 8-bit sources, identical to Pillow's `convert("RGB").resize((S, S), LANCZOS)`;
        uint16 [S, S, 3] for deeper sources and for DICOM, with the full range 0..65535.

    Raises
    ------
    ImageError
        A missing, empty, truncated or unreadable file, several frames, NaN or values out of range, or more pixels than
        `limits.MAX_BYTES` holds.
    ValueError
        A size that is no whole number of at least 16.
    """
    size, path = check_size(size), Path(path)
    stream, kind = opened(path)
    with stream, guarded(path):
        if kind == "DICOM":
            return _resize_deep(read_dicom(path), size)
        stored = read_stored(path, kind, stream)
        if isinstance(stored, DeepPixels):
            return _resize_deep(unit_range(stored.values, stored.top, path), size)
        return _resize_eight_bit(_eight_bit(stored.picture), size)


def resize_pixels(image: np.ndarray, size: int) -> np.ndarray:
    """An image in memory, [H, W, 1 or 3] of uint8 or of float32 in 0..1, as `decode_image` gives it from a file."""
    values = image[:, :, 0] if image.shape[2] == 1 else image
    if image.dtype == np.uint8:
        return _resize_eight_bit(Image.fromarray(np.ascontiguousarray(values)), size)
    return _resize_deep(values, size)


def load_image(path: str | Path, size: int) -> Tensor:
    """One image as a tensor.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, BMP, TIFF or DICOM file.
    size : int
        Side S of the square in pixels, at least 16; an image that is not square is squeezed.

    Returns
    -------
    Tensor
        float32 [3, S, S] in 0..1; grey images have three equal channels.

    Raises
    ------
    ImageError
        A file that cannot be used; `decode_image` lists the reasons.
    ValueError
        A size that is no whole number of at least 16.
    """
    return as_image(decode_image(path, size))


def as_image(pixels: np.ndarray) -> Tensor:
    """What `decode_image` or `resize_pixels` gives, [S, S, 3] -> float32 [3, S, S] in 0..1."""
    return to_float(torch.from_numpy(pixels).permute(2, 0, 1)).contiguous()


def to_float(pixels: Tensor) -> Tensor:
    """Stored integers (uint8 or uint16, any shape) -> float32 in 0..1."""
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    return pixels.float() / 65535


def load_mask(path: str | Path, size: int) -> Tensor:
    """One mask as a tensor; it is anomalous where it shows anything but black, see `mask_pixels.marked_pixels`.

    Shrinking keeps every lesion: an output pixel is anomalous when any source pixel under it is ("any coverage").
    Enlarging takes the nearest source pixel. JPEG does not keep zeros exact, so its pixels count from 128 (of 255) on.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, BMP or TIFF file.
    size : int
        Side S of the square in pixels, at least 16; a mask that is not square is squeezed.

    Returns
    -------
    Tensor
        bool [S, S], True where anomalous.

    Raises
    ------
    ImageError
        A file that cannot be read, or DICOM.
    ValueError
        A size that is no whole number of at least 16.
    """
    return torch.from_numpy(resize_mask(read_mask(path), check_size(size)))


def read_mask(path: str | Path) -> np.ndarray:
    """A mask at its stored size, bool [H, W], True (anomalous) where it shows anything but black, as in `load_mask`.

    Raises ImageError for a file that cannot be read, and for DICOM.
    """
    path = Path(path)
    stream, kind = opened(path)
    if kind == "DICOM":
        stream.close()
        raise ImageError(
            f"mask '{path}' is a DICOM file, expected PNG, BMP, TIFF or JPEG; write it as PNG, 0 for normal pixels"
        )
    with stream, guarded(path):
        return marked_pixels(read_stored(path, kind, stream), path)


def stored_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of an image or mask file as stored, from its header alone. Raises ImageError."""
    path = Path(path)
    stream, kind = opened(path)
    with stream, guarded(path):
        if kind == "DICOM":
            return dicom_size(path)
        return read_size(path, kind, stream)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Mode L or RGB. Grey stays one channel for speed: Lanczos gives the same numbers as on three equal ones."""
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _resize_eight_bit(picture: Image.Image, size: int) -> np.ndarray:
    """Mode L or RGB -> uint8 [S, S, 3] by Lanczos."""
    pixels = np.array(picture.resize((size, size), Image.Resampling.LANCZOS))  # a copy: Pillow's memory is read-only
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def unit_range(values: np.ndarray, top: float, path: Path) -> np.ndarray:
    """Deep values divided by the top of their range (1 for floats), float32 in 0..1; ImageError for values beyond."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError(f"image '{path}' holds NaN or infinite values; replace them and write the file again")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > top:
        raise ImageError(
            f"image '{path}' holds values from {low:g} to {high:g}, expected 0 to {top:g} for "
            f"{'float' if values.dtype.kind == 'f' else 'integer'} pixels; rescale it and write it again"
        )
    return values.astype(np.float32) / np.float32(top)


def _resize_deep(values: np.ndarray, size: int) -> np.ndarray:
    """float32 [H, W] or [H, W, 3] in 0..1 -> uint16 [S, S, 3] by Lanczos in float; overshoot is clipped."""
    channels = [values] if values.ndim == 2 else [values[:, :, c] for c in range(3)]
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize((size, size), Image.Resampling.LANCZOS))
        for c in channels
    ]
    stack = np.stack(resized * (3 if len(resized) == 1 else 1), axis=2)  # [S, S, 3]
    return np.rint(np.clip(stack, 0, 1) * 65535).astype(np.uint16)
