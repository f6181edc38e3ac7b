"""Writers of image files that Pillow cannot write, for the tests of the readers. Each follows its standard by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_deep_png(path: Path, pixels: np.ndarray, filters: tuple[int, ...] = (0,), interlaced: bool = False) -> Path:
    """16-bit PNG [H, W, C]; rows take the filters in turn."""
    height, width, channels = pixels.shape
    parts = [pixels[y::down, x::across] for x, y, across, down in ADAM7] if interlaced else [pixels]
    raw = b"".join(_filtered(part, filters) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, int(interlaced))
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def _filtered(pixels: np.ndarray, filters: tuple[int, ...]) -> bytes:
    """Rows of one pass with their filters, byte by byte as the specification says."""
    step, out = 2 * pixels.shape[2], bytearray()
    above = bytes(2 * pixels[0].size)
    for row, line in enumerate(pixels):
        raw, kind = line.astype(">u2").tobytes(), filters[row % len(filters)]
        out.append(kind)
        for at, value in enumerate(raw):
            left, corner = (raw[at - step], above[at - step]) if at >= step else (0, 0)
            up = above[at]
            nearest = min((left, up, corner), key=lambda guess: abs(left + up - corner - guess))
            out.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) % 256)
        above = raw
    return bytes(out)


def write_tiff(path: Path, strips: list[bytes], fields: dict[int, list[int]], order: str = "<") -> Path:
    """A TIFF of given strips and tags (all written as LONG), offsets and lengths of the strips filled in."""
    ends = [int(end) for end in np.cumsum([8] + [len(s) for s in strips])]
    fields = dict(sorted((fields | {273: ends[:-1], 279: [len(s) for s in strips]}).items()))
    start = ends[-1] + ends[-1] % 2
    lists_at = start + 2 + 12 * len(fields) + 4
    entries, lists = b"", b""
    for tag, values in fields.items():  # what does not fit into its entry follows the directory
        packed = struct.pack(f"{order}{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack(order + "I", lists_at + len(lists))
        lists += packed if len(values) > 1 else b""
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    directory = struct.pack(order + "H", len(fields)) + entries + b"\0" * 4 + lists
    path.write_bytes((head + b"".join(strips)).ljust(start, b"\0") + directory)
    return path


def write_deep_tiff(path: Path, pixels: np.ndarray, order: str = "<", deflate=False, predict=False) -> Path:
    """16-bit colour in strips of 7 rows."""
    height, width, channels = pixels.shape
    stored = np.diff(pixels, axis=1, prepend=np.zeros((height, 1, channels), np.uint16)) if predict else pixels
    strips = [stored[r : r + 7].astype(order + "u2").tobytes() for r in range(0, height, 7)]
    strips = [zlib.compress(s) for s in strips] if deflate else strips
    fields = {256: [width], 257: [height], 258: [16] * channels, 259: [8 if deflate else 1], 262: [2]}
    return write_tiff(path, strips, fields | {277: [channels], 278: [7], 317: [2 if predict else 1]}, order)


def dicom_dataset(pixels: np.ndarray, bits: int = 12, **elements: object):
    """A dataset of one frame, grey [H, W] or colour [H, W, 3]; floats go into FloatPixelData."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[-2:] if pixels.ndim == 2 else pixels.shape[-3:-1]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 and pixels.shape[-1] == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    if pixels.dtype.kind == "f":
        setattr(dataset, "FloatPixelData" if pixels.dtype.itemsize == 4 else "DoubleFloatPixelData", pixels.tobytes())
    else:
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def write_dicom(path: Path, pixels: np.ndarray, bits: int = 12, **elements: object) -> Path:
    dicom_dataset(pixels, bits, **elements).save_as(path, enforce_file_format=True)
    return path


def dicom_item(**elements: object):
    """An item of a sequence."""
    item = pytest.importorskip("pydicom").Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def dicom_table(entries: np.ndarray, first: int = 0, bits: int = 16):
    """An item that holds a lookup table, for values from `first` on."""
    lut = dicom_item(LUTDescriptor=[len(entries) % 65536, first, bits], LUTData=entries.astype("<u2").tobytes())
    lut["LUTData"].VR = "OW"
    return lut
