"""DICOM files: reading the header, checking what it promises, and decoding one frame.

A file is recognised by content, with or without the preamble. Before anything is unpacked, the header is checked: one
frame, a size that fits into memory, a known photometric interpretation. How stored values become grey or colour is
described in `dicom_pixels`.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from d24fad_lite.data.formats.dicom_elements import first_value
from d24fad_lite.data.formats.dicom_frames import require_fitting
from d24fad_lite.data.formats.dicom_pixels import COLOUR, GREY, displayed
from d24fad_lite.data.formats.limits import MAX_BYTES, require_room
from d24fad_lite.data.formats.recognise import ImageError, require_file
from d24fad_lite.data.formats.stored_pixels import require_one_frame

_INSTALL = 'pip install "d24fad_lite[dicom]"'
_DEFLATED, _EXPLICIT, _RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_DEFERRED = 2**20  # bytes; larger elements are read on request only, so that the header can be checked first
_HEADER_BYTES = 16 * 2**20  # most that the elements of a deflated file may take apart from its pixels


def read_dicom(path: Path) -> np.ndarray:
    """Decode the one frame of a DICOM file.

    Returns
    -------
    numpy.ndarray
        float32 [H, W] (grey) or [H, W, 3] (colour) in 0..1, as `dicom_pixels` describes.

    Raises
    ------
    ImageError
        pydicom is missing, or the file has no pixels, several frames, an unknown photometric interpretation, a
        compression without decoder, or damaged data.
    """
    dataset = _read(path)
    _require_readable(path, dataset)
    stored, photometric = _stored(path, dataset)
    try:
        unit = displayed(stored, photometric, dataset, path)
    except ImageError:
        raise
    except Exception as error:  # elements of damaged files raise nearly every kind there is
        raise ImageError(f"image '{path}' cannot be decoded ({error}); correct its header or remove it") from error
    return unit


def dicom_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone."""
    return _size(path, _read(path, header_only=True))


def read_header(path: Path) -> Any:
    """The dataset of a DICOM file without its pixels; ImageError where it cannot be read."""
    return _read(path, header_only=True)


def _size(path: Path, dataset: Any) -> tuple[int, int]:
    """(width, height) according to the header; ImageError where it gives none."""
    rows, columns = (first_value(dataset, name, path, int) for name in ("Rows", "Columns"))
    if not rows or not columns:
        raise ImageError(f"image '{path}' is a DICOM file without pixels; remove it from the image folders")
    return columns, rows


def _read(path: Path, header_only: bool = False) -> Any:
    """The dataset of a file; ImageError where pydicom is missing or the file cannot be read."""
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(f"image '{path}' is a DICOM file and pydicom is not installed; {_INSTALL}") from error
    require_file(path)
    try:
        with path.open("rb") as stream:
            marked = stream.read(132)[128:] == b"DICM"
        if marked:
            meta = pydicom.filereader.read_file_meta_info(path)
        else:
            tags = ["TransferSyntaxUID"]
            meta = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=tags).file_meta
        if meta.get("TransferSyntaxUID") == _DEFLATED:
            return _inflated(path, header_only)
        dataset = pydicom.dcmread(path, force=not marked, stop_before_pixels=header_only, defer_size=_DEFERRED)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"image '{path}' is not a readable DICOM file ({error}); replace it or remove it") from error
    if not marked and "Rows" not in dataset and "SOPClassUID" not in dataset:
        raise ImageError(
            f"image '{path}' is not a readable DICOM file (neither a mark nor an image in it); replace it or remove it"
        )
    return dataset


def _inflated(path: Path, header_only: bool) -> Any:
    """The dataset of a deflated file, of which no more is unpacked than its header promises."""
    data = path.read_bytes()
    start = _end_of_meta(data)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    head = unpack.decompress(data[start:], _HEADER_BYTES)
    dataset = _parsed(head, stop_before_pixels=True)
    if header_only:
        return dataset
    require_one_frame(path, first_value(dataset, "NumberOfFrames", path, int) or 1)
    width, height = _size(path, dataset)
    need = promised_bytes(path, dataset)
    require_room(path, width, height, 2 * need / (width * height))
    rest = unpack.decompress(unpack.unconsumed_tail, need + _HEADER_BYTES)
    if unpack.unconsumed_tail and not unpack.eof:
        raise ImageError(
            f"image '{path}' unpacks to more than the {width}x{height} pixels that its header promises; "
            "it is damaged or made to fill the memory: remove it"
        )
    return _parsed(head + rest)


def _parsed(data: bytes, stop_before_pixels: bool = False) -> Any:
    """The dataset in these bytes, which lack preamble and file meta group."""
    import pydicom

    syntax = _EXPLICIT.encode() + b"\0"
    head = b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
    return pydicom.dcmread(io.BytesIO(head + data), stop_before_pixels=stop_before_pixels)


def _end_of_meta(data: bytes) -> int:
    """Where the file meta group ends: its first element holds the length of the others."""
    at = 132 if data[128:132] == b"DICM" else 0
    if data[at : at + 6] != b"\x02\0\0\0UL":
        raise OSError("the length of its file meta group is missing")
    return at + 12 + struct.unpack_from("<I", data, at + 8)[0]


def promised_bytes(path: Path, dataset: Any) -> int:
    """Bytes of one unpacked frame according to the header."""
    width, height = _size(path, dataset)
    samples = first_value(dataset, "SamplesPerPixel", path, int) or 1
    bits = first_value(dataset, "BitsAllocated", path, int) or _FLOAT_BITS.get(_pixel_element(dataset), 8)
    return -(-width * height * samples * bits // 8)


def _pixel_element(dataset: Any) -> str:
    """The name of the element that holds the pixels, "" where there is none."""
    return next((name for name in _PIXELS if name in dataset), "")


def _stored_bytes(dataset: Any, name: str) -> int:
    """How many bytes an element that holds pixels takes in the file."""
    length = getattr(dataset.get_item(name), "length", None)  # known even before the element is read
    return len(dataset[name].value or b"") if length is None else length


def _require_readable(path: Path, dataset: Any) -> None:
    """ImageError where the header already says that the file is not read."""
    require_one_frame(path, first_value(dataset, "NumberOfFrames", path, int) or 1)
    name = _pixel_element(dataset)
    if not name or _stored_bytes(dataset, name) == 0:
        raise ImageError(f"image '{path}' is a DICOM file without pixels; remove it from the image folders")
    width, height = _size(path, dataset)
    frame = promised_bytes(path, dataset)
    require_room(path, width, height, frame / (width * height) + 10)  # 10: floats on the way to grey
    photometric = str(first_value(dataset, "PhotometricInterpretation", path, str) or "").strip()
    _require_known_samples(path, dataset, name, photometric)
    syntax = dataset.file_meta.get("TransferSyntaxUID", "")
    if getattr(syntax, "is_compressed", False):
        require_fitting(path, dataset[name].value, (width, height), frame, MAX_BYTES, run_length=syntax == _RLE)
        return
    frame = frame * 2 // 3 if photometric == "YBR_FULL_422" else frame
    stored = _stored_bytes(dataset, name)
    if stored >= 2 * frame and frame > 8:  # small ones may be padded
        require_one_frame(path, stored // frame)  # more than NumberOfFrames says


def _require_known_samples(path: Path, dataset: Any, element: str, photometric: str) -> None:
    """ImageError for an unknown photometric interpretation, or samples that do not go with it."""
    if photometric not in GREY | COLOUR | {"PALETTE COLOR"}:
        raise ImageError(
            f"image '{path}' has the photometric interpretation '{photometric}', expected one of "
            f"{', '.join(sorted(GREY | COLOUR))} or PALETTE COLOR; convert it"
        )
    samples = first_value(dataset, "SamplesPerPixel", path, int) or 1
    expected = 3 if photometric in COLOUR else 1
    if samples != expected:
        raise ImageError(
            f"image '{path}' has {samples} samples per pixel, expected {expected} for {photometric}; correct its header"
        )
    stored, high = (first_value(dataset, name, path, int) for name in ("BitsStored", "HighBit"))
    if stored and high is not None and high != stored - 1 and element == "PixelData":
        raise ImageError(
            f"image '{path}' keeps its {stored} bits up to bit {high}, expected bit {stored - 1}; "
            "write it again with a current tool"
        )


def _stored(path: Path, dataset: Any) -> tuple[np.ndarray, str]:
    """(stored values of the one frame, their photometric interpretation after decompression)."""
    from pydicom.pixels import get_decoder

    try:
        syntax = dataset.file_meta.get("TransferSyntaxUID") or _guessed_syntax(dataset)
        dataset.file_meta.TransferSyntaxUID = syntax
        stored, properties = get_decoder(syntax).as_array(dataset, index=0)
    except Exception as error:  # pydicom's decoders raise many kinds; each means this file cannot be shown
        raise ImageError(
            f"image '{path}' cannot be decoded ({error}); if its compression is the reason, install the decoders: "
            f"{_INSTALL}"
        ) from error
    return stored, str(properties["photometric_interpretation"])


def _guessed_syntax(dataset: Any) -> str:
    """The transfer syntax of a file without a meta group that names it: the one in which it was read."""
    implicit, little = dataset.original_encoding
    return "1.2.840.10008.1.2" if implicit else _EXPLICIT if little else "1.2.840.10008.1.2.2"
