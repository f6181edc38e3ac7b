"""What kind of file a path holds, by its first bytes: names can be wrong, and DICOM files often have no suffix."""

from __future__ import annotations

import stat
import struct
from pathlib import Path
from typing import BinaryIO

from d24fad_lite.messages import NamingError

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima"})
IMAGE_SUFFIXES: frozenset[str] = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}) | DICOM_SUFFIXES
HEAD_BYTES = 512  # enough for every mark below

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0\x08\0\0\0", "TIFF"),  # BigTIFF
    (b"MM\0+\0\x08\0\0", "TIFF"),
)
# Other files that people keep in folders of images: they are not read, and the error says what they are.
_FOREIGN = (
    (b"GIF8", "a GIF"),
    (b"RIFF", "a WebP or another RIFF file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 stream"),
    (b"\x1f\x8b", "a gzip archive (a NIfTI volume?)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF", "a PDF"),
    (b"NRRD", "an NRRD volume"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
    (b"<", "a text file (HTML or XML: a failed download?)"),
)
_VALUE_TYPES = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)


class ImageError(NamingError):
    """An image or mask file that cannot be used; the message names the file and says what to do."""


def require_file(path: Path) -> None:
    """ImageError unless `path` is a regular file that is not empty; anything else is not even opened."""
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise ImageError(f"image '{path}' does not exist; check the path or open the data folder again") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"image '{path}' cannot be reached ({error}); check the path") from error
    if not stat.S_ISREG(state.st_mode):
        refuse_special(path, state.st_mode)
    if state.st_size == 0:
        raise ImageError(f"image '{path}' is empty (0 bytes); copy it again or remove it")


def refuse_special(path: Path, mode: int | None = None) -> None:
    """ImageError for a pipe, socket, device or folder: opening it could block for ever. Missing files pass."""
    if mode is None:
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    if not stat.S_ISREG(mode):
        names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        kind = names.get(stat.S_IFMT(mode), "a device")
        raise ImageError(f"image '{path}' is {kind}, expected a file; remove it from the image folders")


def opened(path: Path) -> tuple[BinaryIO, str]:
    """A regular file opened at its beginning, with its kind: "PNG", "JPEG", "BMP", "TIFF" or "DICOM" by content.

    A name ending in .dcm, .dicom, .dic or .ima counts only where the content fits no kind. For other files, ImageError
    says what they are.
    """
    stream, head = _open(path)
    try:
        kind = _kind(head, path)
    except ImageError:
        stream.close()
        raise
    stream.seek(0)
    return stream, kind


def recognise(path: Path) -> str:
    """The kind of a file alone; see `opened`."""
    stream, kind = opened(path)
    stream.close()
    return kind


def _open(path: Path) -> tuple[BinaryIO, bytes]:
    """A regular file and its first bytes."""
    require_file(path)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ImageError(f"image '{path}' cannot be read ({error}); check its permissions") from error
    try:
        return stream, stream.read(HEAD_BYTES)
    except OSError as error:
        stream.close()
        raise ImageError(f"image '{path}' cannot be read ({error}); copy it again or remove it") from error


def _kind(head: bytes, path: Path) -> str:
    """The kind of a file with these first bytes; ImageError for a kind that is not read."""
    if head[128:132] == b"DICM":  # first: such a file may begin like a TIFF
        return "DICOM"
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if _is_dicom(head) or path.suffix.lower() in DICOM_SUFFIXES:
        return "DICOM"
    foreign = next((f" (it is {what})" for mark, what in _FOREIGN if head.startswith(mark)), "")
    raise ImageError(
        f"image '{path}' is not a readable PNG, JPEG, BMP or TIFF, nor DICOM{foreign}; replace it or remove it"
    )


def is_image_file(path: Path) -> bool:
    """Whether a file of a folder counts as an image: by its suffix, or by its content where the name has none.

    Files called `IM000001` or `1.2.840.113619.2.55` are opened and their first bytes read; `notes.txt` is not. A BMP
    begins with two letters only, which prove nothing, so such files need their suffix.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix[1:].isalpha():
        return False
    try:
        stream, head = _open(path)
    except ImageError:
        return False
    stream.close()
    return _is_dicom(head) or any(head.startswith(mark) for mark, kind in _SIGNATURES if kind != "BMP")


def _is_dicom(head: bytes) -> bool:
    """Whether a file begins as DICOM does: with a preamble and its mark, or at once with an early element."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16:
        return False
    for order in "<>":
        group, element = struct.unpack_from(order + "HH", head)
        if (group == 2 and element <= 2) or (group == 8 and element <= 0x60):
            explicit = head[4:6] in _VALUE_TYPES
            return explicit or (order == "<" and struct.unpack_from("<I", head, 4)[0] <= 256)
    return False
