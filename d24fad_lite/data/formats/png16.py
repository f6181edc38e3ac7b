"""PNG with 16 bits per channel and several channels, which Pillow would cut to 8 bits. Plain NumPy and zlib.

The decoder is our own because one in C can end the whole process when it meets a damaged file; this one raises at most
an OSError. Checksums, chunk lengths, the promised size and every filter are checked before a pixel is used.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from d24fad_lite.data.formats.limits import require_room

_SIGNATURE_BYTES = 8
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type -> samples per pixel
# Adam7: first column, first row, step of columns, step of rows of the seven passes.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read_png16(path: Path) -> np.ndarray:
    """uint16 [H, W, C] with C = 1 (grey), 2 (grey, alpha), 3 or 4 (colour, alpha). OSError for damaged data."""
    chunks = _chunks(path.read_bytes())
    kind, header = next(chunks, (b"", b""))
    if kind != b"IHDR" or len(header) != 13:
        raise OSError("it does not begin with a header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if depth != 16 or colour not in _CHANNELS or not width or not height or interlaced > 1:
        raise OSError(f"its header holds {width}x{height} pixels of {depth} bits, colour type {colour}")
    channels = _CHANNELS[colour]
    require_room(path, width, height, 4 * channels + 12)  # filtered and unfiltered bytes, and floats of three channels
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(height - y) // down), -(-(width - x) // across)) for x, y, across, down in passes]
    sizes = [(rows, columns) if rows > 0 and columns > 0 else (0, 0) for rows, columns in sizes]
    expected = sum(rows * (1 + 2 * channels * columns) for rows, columns in sizes)
    raw = np.frombuffer(_inflated(chunks, expected), np.uint8)
    pixels = np.empty((height, width, channels), np.uint16)
    at = 0
    for (x, y, across, down), (rows, columns) in zip(passes, sizes, strict=True):
        if rows == 0:
            continue
        end = at + rows * (1 + 2 * channels * columns)
        lines = raw[at:end].reshape(rows, -1)
        values = _unfiltered(lines[:, 0], lines[:, 1:].reshape(rows, columns, 2 * channels))
        pixels[y::down, x::across] = values.view(">u2")
        at = end
    return pixels


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of each chunk up to the end mark; OSError where one is cut short or its checksum is wrong."""
    at = _SIGNATURE_BYTES
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        if len(content) < length or at + 12 + length > len(data):
            raise OSError(f"chunk {kind!r} is cut short")
        if zlib.crc32(kind + content) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise OSError(f"the checksum of chunk {kind!r} is wrong")
        if kind == b"IEND":
            return
        yield kind, content
        at += 12 + length
    raise OSError("its end is missing")


def _inflated(chunks: Iterator[tuple[bytes, bytes]], expected: int) -> bytes:
    """The image data unpacked to exactly the bytes the header accounts for, never more."""
    unpack, raw = zlib.decompressobj(), bytearray()
    try:
        for kind, content in chunks:
            if kind == b"IDAT" and len(raw) < expected:
                raw += unpack.decompress(unpack.unconsumed_tail + content, expected - len(raw))
    except zlib.error as error:
        raise OSError(str(error)) from error
    if len(raw) < expected:
        raise OSError(f"{len(raw):,} bytes are unpacked, expected {expected:,}")
    return bytes(raw)


def _unfiltered(filters: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Undo the filter of each row: filters uint8 [H], lines uint8 [H, W, B] -> uint8 [H, W, B].

    A pixel needs its left, upper and upper left neighbour, so a row cannot be undone in one step. A diagonal can, which
    takes H + W steps over vectors in place of H x W steps over pixels.
    """
    if filters.max() > 4:
        raise OSError(f"row {int(filters.argmax())} has filter {filters.max()}, expected 0 to 4")
    rows, columns, size = lines.shape
    padded = np.zeros((rows + 1, columns + 1, size), np.uint8)  # a row above and a column at the left, both zero
    padded[1:, 1:] = lines
    if not filters.any():
        return np.ascontiguousarray(padded[1:, 1:])
    flat, stride = padded.reshape(-1, size), columns + 1
    for step in range(rows + columns - 1):
        first, last = max(0, step - columns + 1), min(rows - 1, step)  # rows that the diagonal crosses
        start = (first + 1) * stride + step - first + 1
        count = last - first + 1
        here, left, up, corner = (
            flat[start - back : start - back + (count - 1) * columns + 1 : columns]
            for back in (0, 1, stride, stride + 1)
        )
        here += _predicted(filters[first : last + 1], left, up, corner)
    return np.ascontiguousarray(padded[1:, 1:])


def _predicted(filters: np.ndarray, left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The prediction of each pixel of a diagonal, uint8 [n, B]: zero, left, up, their mean, or Paeth's choice."""
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), a, np.where(to_up <= to_corner, b, c))
    kinds = filters[:, None]
    guess = np.where(kinds == 4, paeth, np.where(kinds == 3, (a + b) >> 1, np.where(kinds == 2, b, a)))
    return np.where(kinds == 0, 0, guess).astype(np.uint8)
