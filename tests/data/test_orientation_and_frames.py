"""Two rules that hold for every format and both readers: pixels stay as stored, and a file holds one image."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from image_files import write_dicom, write_tiff
from PIL import Image

from d24fad_lite.data.image_facts import image_facts
from d24fad_lite.data.images import ImageError, decode_image, load_image, read_mask, stored_size

LESION = np.zeros((40, 24), np.uint8)
LESION[2:12, 3:9] = 255
TAG = 0x0112


def write(path: Path, kind: str, orientation: int) -> Path:
    exif = Image.Exif()
    exif[TAG] = orientation
    image = Image.fromarray(LESION).convert("RGB")
    if kind == "jpg":
        image.save(path, "JPEG", exif=exif, quality=100, subsampling=0)
    elif kind == "png":
        image.save(path, "PNG", exif=exif)
    elif kind == "png16":
        Image.fromarray(LESION.astype(np.uint16) * 257).save(path, "PNG", exif=exif)
    elif kind.startswith("tif16"):
        planes, colour = (3, 2) if kind == "tif16planar" else (1, 1)
        strip = (LESION.astype("<u2") * 257).tobytes()
        fields = {
            256: [24],
            257: [40],
            258: [16] * planes,
            259: [1],
            262: [colour],
            274: [orientation],
            277: [planes],
            278: [40],
            284: [colour],
        }
        write_tiff(path, [strip] * planes, fields)
    else:
        options = {"tif": {}, "tiflzw": {"compression": "tiff_lzw"}, "tifjpeg": {"compression": "jpeg", "quality": 100}}
        image = image.convert("L") if kind == "tif" else image
        image.save(path, "TIFF", exif=exif, **options[kind])
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "png16", "tif", "tiflzw", "tifjpeg", "tif16", "tif16planar"])
def test_an_orientation_tag_turns_neither_images_nor_masks(tmp_path, kind, orientation):
    path = write(tmp_path / "a", kind, orientation)
    assert stored_size(path) == (24, 40)
    assert np.array_equal(read_mask(path), LESION > 0)
    plain = tmp_path / "plain.png"
    Image.fromarray(LESION).save(plain)
    assert (load_image(path, 48) - load_image(plain, 48)).abs().max() < 0.1  # turned, the lesion would differ by 1


@pytest.mark.parametrize("kind", ["jpg", "png", "png16", "tif", "tiflzw", "tif16"])
def test_facts_tell_of_an_orientation_tag_with_the_remedy(tmp_path, kind):
    facts = image_facts(write(tmp_path / "a", kind, 6))
    assert facts.orientation == 6
    assert "orientation tag (6: to be shown turned by 90 degrees)" in facts.findings()[0]
    assert "save them without it" in facts.findings()[0]
    assert image_facts(write(tmp_path / "b", kind, 1)).findings() == []


# --- frames ----------------------------------------------------------------------------------------------------------


def frames() -> list[Image.Image]:
    return [Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (10, 120, 230)]


@pytest.mark.parametrize("read", [lambda path: load_image(path, 32), read_mask])
@pytest.mark.parametrize("kind", ["PNG", "MPO", "TIFF"])
def test_several_frames_are_refused_in_every_format(tmp_path, kind, read):
    first, *rest = frames()
    first.save(tmp_path / "a.img", kind, save_all=True, append_images=rest)
    with pytest.raises(ImageError, match=r"a\.img' holds 3 frames, expected one; save each frame as its own file"):
        read(tmp_path / "a.img")
    assert image_facts(tmp_path / "a.img").frames == 3


def test_a_preview_inside_a_tiff_is_no_frame(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(LESION, photometric="minisblack")
        writer.write(LESION[::4, ::4], photometric="minisblack", subfiletype=1)
    assert np.array_equal(read_mask(tmp_path / "a.tif"), LESION > 0)


def test_a_preview_inside_a_jpeg_is_no_frame(tmp_path):
    first, second, _ = frames()
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    with Image.open(tmp_path / "a.jpg") as image:
        entry = image.mpinfo[0xB002][1]
    at = data.index(struct.pack("<II", entry["Size"], entry["DataOffset"])) - 4
    data[at : at + 4] = struct.pack("<I", 0x010001)  # the second picture is "Large Thumbnail (VGA Equivalent)"
    (tmp_path / "a.jpg").write_bytes(data)
    assert decode_image(tmp_path / "a.jpg", 20).mean() == pytest.approx(10, abs=1)


def test_slices_of_a_volume_in_one_page_are_frames_too(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(
        tmp_path / "deep.tif",
        np.zeros((5, 32, 32), np.uint8),
        photometric="minisblack",
        volumetric=True,
        tile=(5, 16, 16),
    )
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 32, 32), np.uint16), imagej=True)
    for name in ("deep.tif", "stack.tif"):
        with pytest.raises(ImageError, match="holds 5 frames, expected one"):
            load_image(tmp_path / name, 32)
    fields = {256: [24], 257: [40], 258: [8], 259: [1], 262: [1], 277: [1], 278: [40]}
    path = write_tiff(tmp_path / "a.tif", [LESION.tobytes()], fields)
    data = path.read_bytes()  # the one page of a large ImageJ stack: the other slices follow without a directory
    text = b"ImageJ=1.54f\nimages=7\nslices=7\n\0"
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    entries = [data[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    entries.insert(4, struct.pack("<HHII", 270, 2, len(text), len(data)))
    body = data + text
    directory = struct.pack("<H", count + 1) + b"".join(entries) + b"\0" * 4
    path.write_bytes(body[:4] + struct.pack("<I", len(body)) + body[8:] + directory)
    with pytest.raises(ImageError, match="holds 7 frames, expected one"):
        read_mask(path)


def test_a_tiff_whose_pages_link_in_a_circle_is_read_to_an_end(tmp_path):
    fields = {256: [24], 257: [40], 258: [8], 259: [1], 262: [1], 277: [1], 278: [40]}
    path = write_tiff(tmp_path / "a.tif", [LESION.tobytes()], fields)
    data = bytearray(path.read_bytes())
    data[-4:] = data[4:8]  # the next directory is the first
    path.write_bytes(data)
    assert np.array_equal(read_mask(path), LESION > 0)


# --- facts -----------------------------------------------------------------------------------------------------------


def test_facts_of_an_ordinary_image_hold_nothing_to_complain_about(tmp_path):
    Image.fromarray(LESION).save(tmp_path / "a.jpg", "PNG")
    facts = image_facts(tmp_path / "a.jpg")
    assert (facts.kind, facts.width, facts.height, facts.bits, facts.channels) == ("PNG", 24, 40, 8, 1)
    assert (facts.frames, facts.orientation, facts.modality, facts.low, facts.findings()) == (1, 1, None, None, [])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_deep_image_that_uses_little_of_its_range_is_found_with_the_remedy(tmp_path, suffix):
    values = LESION.astype(np.uint16) * 16  # 12 bits in a container of 16
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    facts = image_facts(tmp_path / f"a.{suffix}")
    assert facts.bits == 16 and facts.low == 0 and facts.high == pytest.approx(4080 / 65535)
    assert "of 16 bits uses 6.2 % of its range" in facts.findings()[0] and "here up to 16" in facts.findings()[0]
    Image.fromarray(values * 16).save(tmp_path / "b.png")
    assert image_facts(tmp_path / "b.png").findings() == []


def test_a_dicom_file_that_needs_a_window_is_found(tmp_path):
    pytest.importorskip("pydicom")
    path = write_dicom(tmp_path / "a.dcm", LESION.astype(np.uint16), bits=16, Modality="CT")
    facts = image_facts(path)
    assert (facts.kind, facts.modality, facts.bits) == ("DICOM", "CT", 16)
    assert "give the file a window" in facts.findings()[0]


def test_facts_of_the_header_alone_decode_no_pixel(tmp_path):
    Image.fromarray(LESION.astype(np.uint16)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:60])
    assert image_facts(tmp_path / "a.png", pixels=False).bits == 16
    with pytest.raises(ImageError, match="damaged or cut short"):
        image_facts(tmp_path / "a.png")
