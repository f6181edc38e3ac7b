"""One image file -> one square array: decoding, bit depth and Lanczos resizing.

Rules that hold for every format:

* Images come out square. A source that is not square is squeezed, as `Resize((S, S))` of the released code does.
* Grey images become three equal channels. Transparency is dropped and not composited (what `convert("RGB")` does in
  torchvision's loaders, and so in the released code).
* EXIF orientation is left alone: pixels stay as they are stored, so a mask always lies on its image.
* 8-bit sources give exactly Pillow's Lanczos in RGB; deeper ones are resized in float and keep 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from d24fad_lite.data.deep_color import is_deep_color, read_deep_color

IMAGE_SUFFIXES: frozenset[str] = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm"})
MIN_SIZE = 16

# Only what the suffixes above promise. Pillow would also try formats that start other programs (EPS).
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_LOSSY = frozenset({".jpg", ".jpeg"})


class ImageError(ValueError):
    """An image or mask file that cannot be used; the message names the file and says what to do."""


def check_size(size: int) -> int:
    """The side of square images in pixels as an int; ValueError unless it is a whole number of at least 16."""
    if isinstance(size, bool) or not isinstance(size, Integral):
        raise ValueError(
            f"image size must be one whole number, the side of a square in pixels, got {size!r}; "
            "images that are not square are squeezed, so pass for example 128"
        )
    if size < MIN_SIZE:
        raise ValueError(f"image size must be at least {MIN_SIZE} pixels, got {int(size)}; use for example 128")
    return int(size)


def decode_image(path: str | Path, size: int) -> np.ndarray:
    """Decode one file and bring it to a square with Lanczos.

    Parameters
    ----------
    path : path of a png, jpg, jpeg, bmp, tif, tiff or dcm file.
    size : side S of the square in pixels, at least 16.

    Returns
    -------
    uint8 [S, S, 3] for 8-bit sources, identical to Pillow's `convert("RGB").resize((S, S), LANCZOS)`;
    uint16 [S, S, 3] for 16-bit and float sources and for DICOM, with the full range 0..65535.

    Float TIFFs must lie in 0..1. DICOM runs through `d24fad_lite.data.dicom`. 16-bit colour keeps its depth in PNG and
    in TIFF without compression or with deflate; other compressions of TIFF are read at 8 bits, as Pillow does.

    Raises
    ------
    ImageError : missing, empty, truncated or unreadable file, several frames, NaN or values out of range.
    """
    size, path = check_size(size), Path(path)
    if path.suffix.lower() == ".dcm":
        from d24fad_lite.data.dicom import read_dicom

        _require_file(path)
        return _resize_deep(read_dicom(path), size)
    with _opened(path) as image:
        if is_deep_color(image):
            return _resize_deep(read_deep_color(path, image), size)
        image.load()
        if image.mode == "F" or image.mode.startswith("I"):
            return _resize_deep(_unit_range(np.asarray(image), path), size)
        small = _eight_bit(image).resize((size, size), Image.Resampling.LANCZOS)
        pixels = np.array(small)  # a copy: Pillow lends its memory read-only
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)  # [S, S, 3]
    return pixels


def load_image(path: str | Path, size: int) -> Tensor:
    """One image as float32 [3, S, S] in 0..1; see `decode_image` for formats, resizing and errors."""
    return to_float(torch.from_numpy(decode_image(path, size)).permute(2, 0, 1)).contiguous()


def to_float(pixels: Tensor) -> Tensor:
    """Stored integers (uint8 or uint16, any shape) -> float32 in 0..1."""
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    return pixels.float() / 65535


def load_mask(path: str | Path, size: int) -> Tensor:
    """One mask as bool [S, S]; non-zero (palette index, colour or grey) is anomalous, transparency is ignored.

    Shrinking keeps every lesion: an output pixel is anomalous when any source pixel under it is ("any coverage").
    Enlarging takes the nearest source pixel. JPEG is lossy around zero, so there the limit is half of 255.
    """
    return torch.from_numpy(_resize_mask(read_mask(path), check_size(size)))


def read_mask(path: str | Path) -> np.ndarray:
    """A mask at its stored size, bool [H, W]; the rule for what counts as anomalous is that of `load_mask`."""
    path = Path(path)
    with _opened(path) as image:
        image.load()
        if image.mode in ("RGBA", "LA", "PA"):
            image = image.convert("RGB")
        values = np.asarray(image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError(f"mask '{path}' holds NaN or infinite values; write it again with 0 for normal pixels")
    marked = values > (127 if path.suffix.lower() in _LOSSY else 0)
    return marked if marked.ndim == 2 else marked.any(axis=2)


def stored_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of an image or mask file as stored, from its header alone. Raises ImageError."""
    path = Path(path)
    if path.suffix.lower() == ".dcm":
        from d24fad_lite.data.dicom import dicom_size

        _require_file(path)
        return dicom_size(path)
    with _opened(path) as image:
        return image.size


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ImageError(f"image '{path}' does not exist; check the path or open the data folder again")
    if path.stat().st_size == 0:
        raise ImageError(f"image '{path}' is empty (0 bytes); copy it again or remove it")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The opened file; whatever goes wrong inside becomes one ImageError that names it."""
    _require_file(path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
                raise ImageError(
                    f"image '{path}' holds {image.n_frames} frames, expected one; save each frame as its own file"
                )
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"image '{path}' is not a readable PNG, JPEG, BMP or TIFF; replace it or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"image '{path}' is too large to open safely ({error}); cut it into tiles") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise ImageError(
            f"image '{path}' cannot be decoded, it is damaged or cut short ({error}); copy it again or remove it"
        ) from error


def _eight_bit(image: Image.Image) -> Image.Image:
    """Mode L or RGB. Grey stays one channel for speed: Lanczos gives the same numbers as on three equal ones."""
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _unit_range(values: np.ndarray, path: Path) -> np.ndarray:
    """Grey values of a deep Pillow mode -> float32 in 0..1; integers by 65535, floats as they are."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ImageError(f"image '{path}' holds NaN or infinite values; replace them and write the file again")
        top = 1.0
    else:
        top = 65535.0
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > top:
        raise ImageError(
            f"image '{path}' holds values from {low:g} to {high:g}, expected 0 to {top:g} for "
            f"{'float' if top == 1.0 else 'integer'} pixels; rescale it and write it again"
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


def _resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """bool [H, W] -> bool [S, S], one axis after the other (an "any" over a rectangle is separable)."""
    for axis in (0, 1):
        length = mask.shape[axis]
        steps = np.arange(size)
        if size >= length:
            mask = mask.take((2 * steps + 1) * length // (2 * size), axis=axis)
            continue
        first, last = steps * length // size, -((-(steps + 1) * length) // size)
        counts = np.cumsum(np.insert(mask.astype(np.int32), 0, 0, axis=axis), axis=axis)
        mask = counts.take(last, axis=axis) > counts.take(first, axis=axis)
    return np.ascontiguousarray(mask)
