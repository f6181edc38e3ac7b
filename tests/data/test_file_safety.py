"""Files that are not what they seem: pipes, devices, strangers, and small files that unpack to gigabytes."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import dicom_dataset, png_chunk, write_dicom, write_tiff
from PIL import Image

from d24fad_lite.data.formats.recognise import is_image_file, recognise
from d24fad_lite.data.image_facts import image_facts
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.images import ImageError, decode_image, read_mask, stored_size

READERS = [
    lambda path: decode_image(path, 32),
    read_mask,
    stored_size,
    image_facts,
    lambda path: ImageSet("T/train", path.parent, [path]).hashes(),
]
GREY = np.full((20, 20), 77, np.uint8)
MIB = 2**20


# --- not a file ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("read", READERS)
def test_a_named_pipe_is_refused_before_it_is_opened(tmp_path, read):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png' is a named pipe, expected a file"):
        read(tmp_path / "a.png")


@pytest.mark.timeout(20)
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device files on this system")
@pytest.mark.parametrize("read", READERS)
def test_a_device_is_refused_also_behind_a_link(tmp_path, read):
    (tmp_path / "a.png").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match=r"a\.png' is a device, expected a file"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("read", READERS)
def test_folders_are_refused(tmp_path, read):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match=r"a\.png' is a folder, expected a file"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("read", READERS[:4])
def test_impossible_names_are_refused(tmp_path, read):
    for name in ("x" * 5000, "a\0b.png"):
        with pytest.raises(ImageError, match="cannot be reached"):
            read(tmp_path / name)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")

    def refuse(*_: object) -> None:
        raise PermissionError("Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match="cannot be read .Permission denied.; check its permissions"):
        decode_image(tmp_path / "a.png", 32)


# --- another format --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("PNG", "a.jpg"),
        ("JPEG", "a.png"),
        ("BMP", "a.tif"),
        ("TIFF", "a.dcm"),
        ("PNG", "a.dcm"),
        ("JPEG", "a"),
        ("PNG", "a.txt"),
    ],
)
def test_the_content_tells_the_format_not_the_name(tmp_path, kind, name):
    Image.fromarray(GREY).save(tmp_path / name, kind)
    assert recognise(tmp_path / name) == kind
    assert abs(int(decode_image(tmp_path / name, 20).mean()) - 77) <= 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"\x1f\x8b" + bytes(20), "a NIfTI volume?"),
        (b"PK\x03\x04" + bytes(9), "a ZIP"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "a failed download?"),
    ],
)
def test_a_stranger_is_named_for_what_it_is(tmp_path, content, said):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="not a readable PNG, JPEG, BMP or TIFF, nor DICOM") as caught:
        decode_image(tmp_path / "a.png", 32)
    assert said in str(caught.value)


def test_files_without_a_suffix_count_as_images_where_they_are_dicom(tmp_path):
    pytest.importorskip("pydicom")
    whole = write_dicom(tmp_path / "a.dcm", GREY, 8).read_bytes()
    for name in ("IM0001", "1.2.840.55", "bare"):
        (tmp_path / name).write_bytes(whole if name != "bare" else whole[132:])
        assert is_image_file(tmp_path / name)
    for name in ("notes", "2.5"):
        (tmp_path / name).write_text("nothing to see")
        assert not is_image_file(tmp_path / name)
    (tmp_path / "notes.txt").write_bytes(whole)
    assert not is_image_file(tmp_path / "notes.txt")
    assert all(is_image_file(tmp_path / name) for name in ("x.IMA", "x.dicom", "x.PNG", "x.tiff"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_files_without_a_suffix_count_as_images_where_their_content_proves_it(tmp_path, kind):
    Image.new("L", (20, 20), 9).save(tmp_path / "IM0002", format=kind)
    assert is_image_file(tmp_path / "IM0002") and decode_image(tmp_path / "IM0002", 32).max() == 9


# --- too large -------------------------------------------------------------------------------------------------------


def refused_within(path: Path, message: str, limit: int = 100 * MIB) -> None:
    for read in READERS[:2]:
        tracemalloc.start()
        with pytest.raises(ImageError, match=message):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit


def png_header(path: Path, width: int, height: int, depth: int, colour: int) -> Path:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("width", "depth", "colour"),
    [
        (21000, 8, 0),
        (13000, 8, 2),
        (13000, 8, 6),
        (13000, 8, 3),
        (13000, 16, 0),
        (9000, 16, 2),
        (9000, 16, 6),
        (60000, 1, 0),
    ],
)
def test_a_png_that_promises_too_much_is_refused_before_it_is_unpacked(tmp_path, width, depth, colour):
    refused_within(png_header(tmp_path / "a.png", width, width, depth, colour), r"a\.png' is too large to open safely")


def test_a_large_mask_takes_little_more_than_its_pixels(tmp_path):
    Image.new("L", (6000, 6000)).save(tmp_path / "m.png")
    tracemalloc.start()
    assert not read_mask(tmp_path / "m.png").any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 36 * 10**6


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_strip_is_unpacked_no_further_than_its_size(tmp_path, bits):
    packer = zlib.compressobj(9)
    strip = b"".join(packer.compress(bytes(MIB)) for _ in range(100)) + packer.flush()
    fields = {256: [20], 257: [20], 258: [bits], 259: [8], 262: [1], 277: [1], 278: [20]}
    path = write_tiff(tmp_path / "a.tif", [strip], fields)
    tracemalloc.start()
    assert (decode_image(path, 20) == 0).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * MIB


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_tiff_that_promises_too_much_is_refused(tmp_path, bits, tiled):
    side = 20 if tiled else 40000
    fields = {256: [side], 257: [side], 258: [bits], 259: [8], 262: [1], 277: [1], 278: [side]}
    if tiled:
        fields |= {322: [40000], 323: [40000], 324: [8], 325: [10]}
    refused_within(write_tiff(tmp_path / "a.tif", [zlib.compress(bytes(1000))], fields), "too large to open safely")


def deflated(path: Path, dataset, extra: int) -> Path:
    """A deflated DICOM file whose stream goes on with `extra` bytes of pixels."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    buffer = io.BytesIO()
    dataset.PixelData = b""
    dataset.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    meta_end = 132 + 12 + struct.unpack_from("<I", data, 140)[0]
    body = data[meta_end:]
    at = body.rindex(b"\xe0\x7f\x10\0")
    head = body[:at] + b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<I", extra)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(head) + b"".join(packer.compress(bytes(MIB)) for _ in range(extra // MIB)) + packer.flush()
    syntax = DeflatedExplicitVRLittleEndian.encode() + b"\0"
    element = b"\x02\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
    length = b"\x02\0\0\0UL\x04\0" + struct.pack("<I", len(element))
    path.write_bytes(bytes(128) + b"DICM" + length + element + packed)
    return path


def test_a_deflated_dicom_file_is_unpacked_no_further_than_its_header_promises(tmp_path):
    pytest.importorskip("pydicom")
    path = deflated(tmp_path / "a.dcm", dicom_dataset(GREY, 8), 120 * MIB)
    assert stored_size(path) == (20, 20)
    tracemalloc.start()
    with pytest.raises(ImageError, match="unpacks to more than the 20x20 pixels that its header promises"):
        decode_image(path, 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 * MIB


@pytest.mark.parametrize("elements", [{"Rows": 40000, "Columns": 40000}, {"Rows": 20000, "Columns": 20000}])
def test_a_dicom_file_that_promises_too_much_is_refused(tmp_path, elements):
    pytest.importorskip("pydicom")
    path = write_dicom(tmp_path / "a.dcm", GREY, 8, **elements)
    with pytest.raises(ImageError, match="too large to open safely"):
        decode_image(path, 32)
