"""How much memory one file may take, judged by what its header promises, before anything is unpacked.

A few kilobytes can unpack to gigabytes. So every reader multiplies width, height and bytes per pixel first, and no
decompressor here gives back more bytes than the header accounts for.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from d24fad_lite.data.formats.recognise import ImageError

MAX_BYTES = 400 * 2**20  # memory for decoding one file: about 80 megapixels of 8-bit colour, 50 of 16-bit grey
_BEYOND = 2**16  # bytes unpacked past the expected end: some programs pad, and the checksum lies behind the last byte


def require_room(path: Path, width: int, height: int, bytes_per_pixel: float) -> None:
    """ImageError when decoding width x height pixels would take more than `MAX_BYTES`."""
    need = width * height * bytes_per_pixel
    if need > MAX_BYTES:
        raise ImageError(
            f"image '{path}' is too large to open safely: its header promises {width}x{height} pixels, which take "
            f"{need / 2**20:,.0f} MiB to decode, expected at most {MAX_BYTES // 2**20} MiB; "
            "shrink it or cut it into tiles"
        )


def inflate(compressed: bytes, expected: int, window: int = zlib.MAX_WBITS) -> bytes:
    """zlib data -> exactly `expected` bytes; OSError where there are fewer or the checksum is wrong.

    A stream may hold more. At most `_BEYOND` further bytes are unpacked, so that zlib reaches its checksum and
    compares it.
    """
    unpack = zlib.decompressobj(window)
    try:
        raw = unpack.decompress(compressed, max(expected, 1))
        if unpack.unconsumed_tail:
            unpack.decompress(unpack.unconsumed_tail, _BEYOND)
    except zlib.error as error:
        raise OSError(str(error)) from error
    if len(raw) < expected:
        raise OSError(f"{len(raw):,} bytes are unpacked, expected {expected:,}")
    return raw
