"""Compressed pixel data of DICOM before it is unpacked: how many frames there are, and how large they would become."""

from __future__ import annotations

import struct
from pathlib import Path

from d24fad_lite.data.formats.recognise import ImageError
from d24fad_lite.data.formats.stored_pixels import require_one_frame

_EXPANSION = 64  # a byte of run-length code unpacks to 64 bytes at most
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # first bytes of JPEG and JPEG-LS, and of JPEG 2000


def require_fitting(path: Path, data: bytes, size: tuple[int, int], frame: int, limit: int, run_length: bool) -> None:
    """ImageError when there are several frames, or one that would unpack to more than the header promises.

    Parameters
    ----------
    path : Path
        For messages.
    data : bytes
        The encapsulated pixel data.
    size : (int, int)
        Width and height by the header.
    frame : int
        Bytes of one frame by the header.
    limit : int
        Bytes. Where run-length code could unpack to more, its size is computed before anything is unpacked.
    run_length : bool
        Whether the data are run-length code, and not JPEG of one kind or another.
    """
    from pydicom.encaps import generate_fragments

    try:
        offsets, *fragments = generate_fragments(data)
    except Exception as error:
        raise ImageError(f"image '{path}' cannot be decoded ({error}); copy it again or remove it") from error
    starts = len(fragments) if run_length else sum(fragment.startswith(_STARTS) for fragment in fragments)
    require_one_frame(path, max(starts, len(offsets) // 4))
    stream = b"".join(fragments)
    if run_length:
        if len(stream) * _EXPANSION > limit and _unpacked_bytes(stream) > 2 * frame + 4096:
            raise ImageError(f"image '{path}' unpacks to more than its header promises; remove it")
        return
    actual = _codestream_size(stream)
    if actual is not None and actual != size:
        raise ImageError(
            f"image '{path}' is compressed as {actual[0]}x{actual[1]} pixels, its header promises "
            f"{size[0]}x{size[1]}; write it again or remove it"
        )


def _unpacked_bytes(stream: bytes) -> int:
    """Upper bound of the bytes that run-length code unpacks to; the 64 bytes of its header are counted too."""
    at, total = 64, 0
    while at < len(stream):
        head = stream[at]
        total += head + 1 if head < 128 else 257 - head
        at += head + 2 if head < 128 else 2
    return total


def _codestream_size(stream: bytes) -> tuple[int, int] | None:
    """(width, height) in the header of a JPEG, JPEG-LS or JPEG 2000 stream; None where there is none."""
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:  # JPEG 2000: size of the grid minus its offset
        right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
        return right - left, bottom - top
    at = 2
    while at + 9 <= len(stream) and stream[:2] == b"\xff\xd8":
        if stream[at] != 0xFF:
            return None
        mark = stream[at + 1]
        if (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)) or mark == 0xF7:
            height, width = struct.unpack_from(">HH", stream, at + 5)
            return width, height
        at += 1 if mark == 0xFF else 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return None
