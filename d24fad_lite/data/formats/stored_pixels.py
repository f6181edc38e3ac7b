"""PNG, JPEG, BMP and TIFF at their stored size; reading an image and reading a mask both begin here.

One rule for orientation tags, whatever the format and depth: pixels stay as they are stored, in images and in masks
alike, so that a mask always lies on its image. (Pillow alone would turn TIFFs and nothing else.) `image_facts` reports
which files carry such a tag.

One rule for frames: a file holds one image. Pages of a TIFF, frames of an APNG and pictures of an MPO are refused by
name, because nothing says which of them is meant. Previews inside a file are no frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.MpoImagePlugin import MpoImageFile

from d24fad_lite.data.formats import tiff
from d24fad_lite.data.formats.limits import require_room
from d24fad_lite.data.formats.png16 import read_png16
from d24fad_lite.data.formats.recognise import ImageError

ORIENTATION = 0x0112
# The transposition that undoes what Pillow does to a TIFF with each orientation tag.
_AS_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# Pillow's modes that are read -> bytes that a pixel takes while it is decoded: two copies where the mode is converted,
# and one byte for a mask.
_MODE_BYTES = (
    {"1": 2, "L": 2, "RGB": 5, "P": 5}
    | dict.fromkeys(("LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"), 8)
    | {"I;16": 8, "I;16B": 8, "I": 12}
)
_DEEP_PNG = ("LA", "RGB", "RGBA")
_MP_PREVIEW = "Large Thumbnail"


@dataclass
class EightBitPicture:
    """A file of 8 bits per channel (or fewer): a Pillow image, pixels as stored.

    lossy : compressed as JPEG is, so that zeros are only nearly zero.
    """

    picture: Image.Image
    lossy: bool = False


@dataclass
class DeepPixels:
    """A file of more than 8 bits per channel, pixels as stored.

    values : [H, W] or [H, W, 3]; integers count up to `top`, floats are expected in 0..1 (`top` 1).
    alpha : [H, W] of an image with transparency, else None.
    lossy : compressed as JPEG is, so that zeros are only nearly zero.
    """

    values: np.ndarray
    top: float
    alpha: np.ndarray | None = None
    lossy: bool = False


StoredPixels = EightBitPicture | DeepPixels


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises inside the block into an ImageError that names the file."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"image '{path}' is not a readable PNG, JPEG, BMP or TIFF, its header is damaged or of a rare kind; "
            "replace it or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"image '{path}' is too large to open safely ({error}); cut it into tiles") from error
    except PermissionError as error:
        raise ImageError(f"image '{path}' cannot be read ({error}); check its permissions") from error
    except Exception as error:  # decoders of damaged files raise nearly every kind there is
        raise ImageError(
            f"image '{path}' cannot be decoded, it is damaged or cut short ({error}); copy it again or remove it"
        ) from error


def read_stored(path: Path, kind: str, stream: BinaryIO) -> StoredPixels:
    """Decode a file that `recognise.opened` opened. To be called within `guarded`."""
    if kind == "TIFF":
        return _read_tiff(path, stream)
    with Image.open(stream, formats=(kind,)) as image:
        require_one_frame(path, frame_count(image))
        if kind == "PNG" and image.mode in _DEEP_PNG and image.tile and str(image.tile[0].args).endswith(";16B"):
            values = read_png16(path)
            return _split(values, 1 if values.shape[2] < 3 else 3)
        return _loaded(path, image, lossy=kind == "JPEG")


def read_size(path: Path, kind: str, stream: BinaryIO) -> tuple[int, int]:
    """(width, height) as stored, from the header alone. To be called within `guarded`."""
    if kind == "TIFF":
        return tiff.read_page(stream, path).size
    with Image.open(stream, formats=(kind,)) as image:
        return image.size


def require_one_frame(path: Path, frames: int) -> None:
    """ImageError for a file of several frames, whatever its format."""
    if frames > 1:
        raise ImageError(f"image '{path}' holds {frames} frames, expected one; save each frame as its own file")


def frame_count(image: Image.Image) -> int:
    """Frames of an opened PNG (APNG), JPEG (MPO) or BMP; previews for a viewer do not count."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and isinstance(image, MpoImageFile) and image.mpinfo:
        kinds = [str(entry["Attribute"]["MPType"]) for entry in image.mpinfo[0xB002]]
        frames -= sum(_MP_PREVIEW in kind for kind in kinds)
    return frames


def _loaded(path: Path, image: Image.Image, lossy: bool) -> StoredPixels:
    """Check the size, then decode with Pillow; modes of more than 8 bits become arrays."""
    if image.mode not in _MODE_BYTES:
        raise ImageError(f"image '{path}' holds pixels of mode {image.mode}, which are not read; save it as RGB")
    require_room(path, *image.size, _MODE_BYTES[image.mode])
    image.load()
    if image.mode.startswith("I"):
        return DeepPixels(np.asarray(image), top=65535.0, lossy=lossy)
    return EightBitPicture(image, lossy)


def _read_tiff(path: Path, stream: BinaryIO) -> StoredPixels:
    """Decode a TIFF: with Pillow where it reads the pixels right, else with `tiff.read_values`."""
    page = tiff.read_page(stream, path)
    require_one_frame(path, page.pages)
    if not page.is_plain:
        deep = _split(*_shown(tiff.read_values(stream, page, path), page))
        deep.lossy = page.lossy
        if page.get(tiff.EXTRA) != tiff.ALPHA:
            deep.alpha = None  # a channel of unknown meaning hides nothing
        return _as_picture(deep) if deep.top == 255 else deep
    stream.seek(0)
    with Image.open(stream, formats=("TIFF",)) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
        stored = _loaded(path, image, page.lossy)
        if isinstance(stored, EightBitPicture) and orientation in _AS_STORED:
            stored.picture = stored.picture.transpose(_AS_STORED[orientation])
        return stored


def _shown(values: np.ndarray, page: tiff.TiffPage) -> tuple[np.ndarray, int, float]:
    """Stored samples [H, W, C] -> (samples with black at 0, number of colour channels, top of the range)."""
    top = 1.0 if values.dtype.kind == "f" else 65535.0 if page.bits >= 16 else float(2**page.bits - 1)
    colours = page.colours
    if page.get(tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO:
        values[:, :, 0] = values.dtype.type(top) - values[:, :, 0]
    elif page.get(tiff.PHOTOMETRIC) == tiff.CMYK:
        ink = values[:, :, :4].astype(np.float32) / np.float32(top)
        values, top, colours = (1 - ink[:, :, :3]) * (1 - ink[:, :, 3:]), 1.0, 3
    return values, colours, top


def _split(values: np.ndarray, colours: int, top: float = 65535.0) -> DeepPixels:
    """Values [H, W, C] as colour and, where there is a channel more than `colours`, alpha."""
    alpha = values[:, :, colours] if values.shape[2] > colours else None
    return DeepPixels(values[:, :, 0] if colours == 1 else values[:, :, :colours], top, alpha)


def _as_picture(deep: DeepPixels) -> EightBitPicture:
    """8-bit values as the Pillow image they would have been."""
    channels = [np.atleast_3d(deep.values)] + ([deep.alpha[:, :, None]] if deep.alpha is not None else [])
    pixels = np.ascontiguousarray(np.concatenate(channels, axis=2))
    return EightBitPicture(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), deep.lossy)
