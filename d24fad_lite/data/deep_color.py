"""Colour with 16 bits per channel, which Pillow would cut to 8: PNG by torchvision, plain and deflated TIFF here."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

_TAG_BITS, _TAG_COMPRESSION, _TAG_PHOTOMETRIC, _TAG_OFFSETS = 258, 259, 262, 273
_TAG_SAMPLES, _TAG_ROWS, _TAG_BYTES, _TAG_PLANAR, _TAG_PREDICTOR, _TAG_FORMAT = 277, 278, 279, 284, 317, 339


def is_deep_color(image: Image.Image) -> bool:
    """Whether an opened (not yet loaded) file has 16-bit channels that Pillow cannot hold and this module can read."""
    if image.format == "PNG":
        return bool(image.tile) and str(image.tile[0].args).endswith(";16B") and image.mode in ("RGB", "RGBA", "LA")
    if image.format != "TIFF" or image.mode not in ("RGB", "RGBA", "RGBX"):
        return False
    tags = image.tag_v2
    return (
        set(tags.get(_TAG_BITS, ())) == {16}
        and tags.get(_TAG_COMPRESSION, 1) in (1, 8, 32946)
        and tags.get(_TAG_PHOTOMETRIC) == 2
        and tags.get(_TAG_PLANAR, 1) == 1
        and tags.get(_TAG_PREDICTOR, 1) in (1, 2)
        and set(tags.get(_TAG_FORMAT, (1,))) == {1}
        and _TAG_OFFSETS in tags  # strips; tiled files stay with Pillow
        and _TAG_BYTES in tags
    )


def read_deep_color(path: Path, image: Image.Image) -> np.ndarray:
    """float32 [H, W, 3] in 0..1 (grey with alpha: [H, W]); alpha is dropped. OSError when data are missing."""
    values = _read_png(path) if image.format == "PNG" else _read_tiff(path, image)  # uint16 [H, W, C]
    channels = values.shape[2]
    kept = values[:, :, 0] if channels < 3 else values[:, :, :3]
    return kept.astype(np.float32) / np.float32(65535)


def _read_png(path: Path) -> np.ndarray:
    try:
        from torchvision.io import decode_png, read_file
    except ImportError:  # torchvision plans to drop its decoders; the upper 8 bits are then what is left
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB")).astype(np.uint16) * 257
    try:
        return decode_png(read_file(str(path))).permute(1, 2, 0).numpy()
    except RuntimeError as error:
        raise OSError(str(error).splitlines()[0]) from error


def _read_tiff(path: Path, image: Image.Image) -> np.ndarray:
    tags, (width, height) = image.tag_v2, image.size
    samples = tags.get(_TAG_SAMPLES, 3)
    rows = min(tags.get(_TAG_ROWS, height), height)
    order = "<u2" if tags.prefix == b"II" else ">u2"
    data = path.read_bytes()
    strips = []
    for index, (offset, count) in enumerate(zip(tags[_TAG_OFFSETS], tags[_TAG_BYTES], strict=True)):
        raw = data[offset : offset + count]
        try:
            raw = raw if tags.get(_TAG_COMPRESSION, 1) == 1 else zlib.decompress(raw)
        except zlib.error as error:
            raise OSError(f"strip {index}: {error}") from error
        expected = min(rows, height - index * rows) * width * samples
        values = np.frombuffer(raw, order, count=min(len(raw) // 2, expected))
        if values.size < expected:
            raise OSError(f"strip {index} holds {values.size} of {expected} values")
        strips.append(values)
    pixels = np.concatenate(strips).reshape(height, width, samples).astype(np.uint16)
    if tags.get(_TAG_PREDICTOR, 1) == 2:  # stored as differences to the left neighbour, modulo 2^16
        pixels = np.cumsum(pixels, axis=1, dtype=np.uint16)
    return pixels
