"""Whole files of every format and depth, small, for `damaged_files.py` to damage."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 36


def write_sources(folder: Path) -> list[Path]:
    """The files, formats in turn."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = 32768 + 20000 * np.sin(x / 5) * np.cos(y / 7)
    deep = (smooth[:, :, None] + rng.normal(0, 900, (HEIGHT, WIDTH, 4))).clip(0, 65535).astype(np.uint16)
    makers = (_pngs(deep), _jpegs(deep), _tiffs(deep), _bmps(deep), _dicoms(deep))
    by_format = []
    for suffix, files in zip(("png", "jpg", "tif", "bmp", "dcm"), makers, strict=True):
        paths = []
        for index, data in enumerate(files):
            paths.append(folder / f"{suffix}_{index}.{suffix}")
            paths[-1].write_bytes(data)
        by_format.append(paths)
    longest = max(len(paths) for paths in by_format)
    return [paths[index % len(paths)] for index in range(longest) for paths in by_format]


def mend_checksums(data: bytes) -> bytes:
    """A PNG with the checksum of every chunk made right, as far as its chunks can be followed."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = struct.unpack_from(">I", out, at)[0]
        if at + 12 + length > len(out):
            break
        struct.pack_into(">I", out, at + 8 + length, zlib.crc32(out[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(out)


def damage_inside(data: bytes, damage: Callable[[bytes], bytes]) -> bytes:
    """A PNG whose unpacked rows are damaged and packed again, so that the damage passes the gate of zlib too."""
    first = data.index(b"IDAT") - 4
    length = struct.unpack_from(">I", data, first)[0]
    rows = zlib.decompress(data[first + 8 : first + 8 + length])
    packed = zlib.compress(damage(rows))
    chunk = struct.pack(">I", len(packed)) + b"IDAT" + packed + b"\0" * 4
    return mend_checksums(data[:first] + chunk + data[first + 12 + length :])


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _eight(deep: np.ndarray) -> Image.Image:
    return Image.fromarray((deep[:, :, :3] >> 8).astype(np.uint8))


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _pngs(deep: np.ndarray) -> list[bytes]:
    colour = _eight(deep)
    files = [_saved(colour.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    files.append(_saved(colour, "PNG", exif=_turned()))
    files.append(_saved(Image.fromarray(deep[:, :, 0]), "PNG"))
    files.append(_saved(colour, "PNG", save_all=True, append_images=[colour.rotate(90)]))
    return files + [_deep_png(deep[:, :, :channels], filtered) for channels in (2, 3, 4) for filtered in (False, True)]


def _deep_png(pixels: np.ndarray, filtered: bool) -> bytes:
    """16-bit colour or grey with alpha; with `filtered` each row claims another filter (the content is then noise)."""
    height, width, channels = pixels.shape
    lines = [line.astype(">u2").tobytes() for line in pixels]
    rows = b"".join(bytes([row % 5 if filtered else 0]) + line for row, line in enumerate(lines))
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(data)) + kind + data + b"\0" * 4 for kind, data in chunks)
    return mend_checksums(b"\x89PNG\r\n\x1a\n" + body)


def _jpegs(deep: np.ndarray) -> list[bytes]:
    colour = _eight(deep)
    files = [_saved(colour.convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK")]
    files += [_saved(colour, "JPEG", progressive=True), _saved(colour, "JPEG", exif=_turned())]
    return [*files, _saved(colour, "MPO", save_all=True, append_images=[colour])]


def _bmps(deep: np.ndarray) -> list[bytes]:
    return [_saved(_eight(deep).convert(mode), "BMP") for mode in ("1", "L", "P", "RGB")]


def _tiffs(deep: np.ndarray) -> list[bytes]:
    colour = _eight(deep)
    files = [
        _saved(colour, "TIFF", compression=name) for name in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
    ]
    files += [
        _saved(colour.convert("1"), "TIFF", compression="group4"),
        _saved(colour.convert("P"), "TIFF"),
        _saved(colour, "TIFF", exif=_turned()),
        _saved(colour.convert("CMYK"), "TIFF"),
        _saved(colour, "TIFF", save_all=True, append_images=[colour]),
    ]
    files += [
        _saved(Image.fromarray(deep[:, :, 0]), "TIFF", compression=name) for name in ("raw", "tiff_lzw", "tiff_deflate")
    ]
    grey, colours = deep[:, :, :1], deep[:, :, :3]
    unit = (grey / 65535).astype
    files += [_deep_tiff(grey, 0), _deep_tiff(colours, 2), _deep_tiff(colours, 2, planar=True), _deep_tiff(deep, 5)]
    files += [_deep_tiff(colours, 2, deflate=True), _deep_tiff(deep[:, :, :2], 1, deflate=True)]
    return files + [_deep_tiff(unit(kind), 1) for kind in ("f2", "f4", "f8")]


def _deep_tiff(pixels: np.ndarray, photometric: int, planar: bool = False, deflate: bool = False) -> bytes:
    """Little-endian, in strips of 16 rows."""
    height, width, samples = pixels.shape
    planes = [pixels[:, :, s : s + 1] for s in range(samples)] if planar else [pixels]
    strips = [plane[row : row + 16].tobytes() for plane in planes for row in range(0, height, 16)]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    offsets = [8 + sum(len(strip) for strip in strips[:index]) for index in range(len(strips))]
    fields = {
        256: [width],
        257: [height],
        258: [pixels.dtype.itemsize * 8] * samples,
        259: [8 if deflate else 1],
        262: [photometric],
        273: offsets,
        277: [samples],
        278: [16],
        279: [len(strip) for strip in strips],
        284: [2 if planar else 1],
        339: [3 if pixels.dtype.kind == "f" else 1] * samples,
    }
    start = 8 + sum(map(len, strips))
    lists, entries = b"", b""
    for tag, values in fields.items():
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, lists = struct.pack("<I", start + 2 + 12 * len(fields) + 4 + len(lists)), lists + packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    head = b"II*\0" + struct.pack("<I", start) + b"".join(strips)
    return head + struct.pack("<H", len(fields)) + entries + b"\0" * 4 + lists


def _dicoms(deep: np.ndarray) -> list[bytes]:
    from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

    grey, colour = deep[:, :, 0] >> 4, np.asarray(_eight(deep))
    files = [_dicom(grey, window) for window in ({}, {"WindowCenter": [900, 1], "WindowWidth": [700, 2]})]
    files += [_dicom(colour, {}), _dicom(colour[:, :, 0], _palette()), _dicom(grey, {})[128 + 4 :]]
    files += [_dicom(grey, {}, syntax) for syntax in (DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless)]
    return [*files, _jpeg_dicom(colour), _dicom(grey.astype(np.float32) / 4095, {})]


def _palette() -> dict[str, object]:
    tables: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for index, name in enumerate(("Red", "Green", "Blue")):
        entries = (np.arange(256) * (index + 1) * 80).astype("<u2")
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    return tables


def _dataset(pixels: np.ndarray, elements: dict[str, object], syntax: str) -> object:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    colour, bits = pixels.ndim == 3, pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = bits
    if pixels.dtype.kind == "f":
        dataset.FloatPixelData = pixels.tobytes()
    else:
        dataset.BitsStored = 12 if bits == 16 else bits
        dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
        dataset.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def _dicom(pixels: np.ndarray, elements: dict[str, object], syntax: str | None = None) -> bytes:
    from pydicom.uid import ExplicitVRLittleEndian

    compressed = bool(syntax) and syntax.is_compressed and not syntax.is_deflated
    dataset = _dataset(pixels, elements, ExplicitVRLittleEndian if compressed or not syntax else syntax)
    if compressed:
        dataset.compress(syntax)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _jpeg_dicom(colour: np.ndarray) -> bytes:
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    dataset = _dataset(colour, {"PhotometricInterpretation": "YBR_FULL_422"}, JPEGBaseline8Bit)
    dataset.PixelData = encapsulate([_saved(Image.fromarray(colour), "JPEG")])
    dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
