"""One strip or tile of a TIFF: compressed bytes -> samples. Nothing unpacks to more than the segment's size."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from d24fad_lite.data.formats.limits import inflate

NONE, DEFLATE, OLD_DEFLATE = 1, 8, 32946
_BY_LIBTIFF = frozenset({5, 32773, 34925, 50000})  # LZW, PackBits, LZMA, Zstandard: Pillow's library unpacks the bytes
COMPRESSIONS = frozenset({NONE, DEFLATE, OLD_DEFLATE}) | _BY_LIBTIFF
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def unpack_segment(
    raw: bytes,
    shape: tuple[int, int, int],
    bits: int,
    kind: str,
    compression: int,
    predictor: int,
    reverse_bits: bool = False,
) -> np.ndarray:
    """Stored bytes -> samples [rows, columns, samples].

    Parameters
    ----------
    raw : bytes
        The strip or tile as it is stored.
    shape : (int, int, int)
        Rows, columns and samples per pixel.
    bits : int
        Bits of a sample. Unless they are 8, 16, 32 or 64, samples are packed, and each row begins at a whole byte.
    kind : str
        Byte order, "<" or ">", and "u", "i" or "f".
    compression : int
        Value of the tag, one of `COMPRESSIONS`.
    predictor : int
        1 none, 2 differences to the left neighbour, 3 the same on the bytes of floats.
    reverse_bits : bool, default False
        FillOrder 2: the lowest bit of a byte comes first.

    Raises
    ------
    OSError
        Fewer data than the shape needs, or damaged data.
    """
    rows, columns, samples = shape
    row_bytes = -(-columns * samples * bits // 8)
    expected = rows * row_bytes
    raw = raw.translate(_REVERSED) if reverse_bits else raw
    data = _decompressed(raw, rows, row_bytes, compression)
    if len(data) < expected:
        raise OSError(f"a strip or tile holds {len(data):,} of {expected:,} bytes")
    lines = np.frombuffer(data, np.uint8, expected).reshape(rows, row_bytes)
    if bits not in (8, 16, 32, 64):
        if predictor != 1:
            raise OSError(f"predictor {predictor} with packed samples of {bits} bits")
        return _packed(lines, bits, columns * samples).reshape(shape)
    if predictor == 3 and kind[1] == "f":
        return _float_differences(lines, shape, bits // 8)
    values = lines.view(f"{kind}{bits // 8}").reshape(shape)
    native = values.astype(values.dtype.newbyteorder("="))
    if predictor == 2:  # differences of bit patterns, also for signed integers and floats: sums wrap around
        whole = native.view(f"u{bits // 8}")
        np.cumsum(whole, axis=1, dtype=whole.dtype, out=whole)
    elif predictor != 1:
        raise OSError(f"predictor {predictor} is not known for these samples")
    return native


def _decompressed(raw: bytes, rows: int, row_bytes: int, compression: int) -> bytes:
    """Unpacked bytes of a strip or tile."""
    if compression in (DEFLATE, OLD_DEFLATE):
        return inflate(raw, rows * row_bytes)
    if compression in _BY_LIBTIFF:
        with Image.open(io.BytesIO(_as_bytes_of_grey(raw, rows, row_bytes, compression)), formats=("TIFF",)) as image:
            return image.tobytes()
    return raw


def _as_bytes_of_grey(raw: bytes, rows: int, row_bytes: int, compression: int) -> bytes:
    """A TIFF of 8-bit grey in one strip, each byte a pixel: these compressions know bytes only, not samples."""
    values = (row_bytes, rows, 8, compression, 1, 122, 1, rows, len(raw))
    tags = (256, 257, 258, 259, 262, 273, 277, 278, 279)  # width, height, bits, ..., strip at byte 122, ..., its bytes
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in zip(tags, values, strict=True))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4 + raw  # 8 + 2 + 9 * 12 + 4 = 122


def _packed(lines: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Samples of 9 to 15 bits, highest bit first, uint8 [rows, bytes] -> uint16 [rows, count]."""
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    values = np.empty((len(lines), count), np.uint16)
    for row, line in zip(values, lines, strict=True):  # row by row, since an unpacked bit takes a byte
        row[:] = np.unpackbits(line, count=count * bits).reshape(count, bits) @ weights
    return values


def _float_differences(lines: np.ndarray, shape: tuple[int, int, int], size: int) -> np.ndarray:
    """Undo predictor 3, which sorts the bytes of a row by significance and stores their differences."""
    rows, columns, samples = shape
    steps = lines.reshape(rows, -1, samples)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, size, columns * samples)
    values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}")
    return values.astype(f"f{size}").reshape(shape)
