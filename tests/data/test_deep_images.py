"""Images deeper than 8 bits, in PNG and TIFF: every value right, or refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import png_chunk, write_deep_png, write_deep_tiff, write_tiff
from PIL import Image

from d24fad_lite.data.images import ImageError, decode_image, load_image, read_mask

tifffile = pytest.importorskip("tifffile")  # writes TIFFs independently of the reader here

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (40, 31, 4), dtype=np.uint16)
SQUARE = np.ascontiguousarray(DEEP[:31])
SMOOTH = (32768 + 30000 * np.sin(np.arange(31 * 31 * 4) / 90)).astype(np.uint16).reshape(31, 31, 4)


def shown(pixels: np.ndarray) -> np.ndarray:
    """What a reader should make of 16-bit pixels [S, S, C]: three channels, no alpha."""
    return pixels[:, :, [0, 0, 0]] if pixels.shape[2] < 3 else pixels[:, :, :3]


# --- PNG -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (4, 3, 2, 1, 0), (0, 4), (3, 1)])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_png_keeps_its_depth_under_every_filter(tmp_path, channels, filters, interlaced):
    for pixels in (SQUARE, SMOOTH):
        path = write_deep_png(tmp_path / "a.png", pixels[:, :, :channels], filters, interlaced)
        assert np.array_equal(decode_image(path, 31), shown(pixels[:, :, :channels]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 8)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_tiny_sixteen_bit_png_are_read_whatever_their_passes_hold(tmp_path, shape, interlaced):
    pixels = np.full((*shape, 3), (1000, 20000, 65535), np.uint16)
    path = write_deep_png(tmp_path / "a.png", pixels, (4, 3), interlaced)
    assert (decode_image(path, 16) == (1000, 20000, 65535)).all()


def test_a_sixteen_bit_png_whose_checksum_is_wrong_is_refused(tmp_path):
    path = write_deep_png(tmp_path / "a.png", SQUARE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.png' cannot be decoded.*checksum of chunk b'IDAT' is wrong"):
        decode_image(path, 16)


def test_a_sixteen_bit_png_with_an_unknown_filter_is_refused(tmp_path):
    path = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = bytes([9]) + bytes(12) + bytes([0]) + bytes(12)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
    with pytest.raises(ImageError, match="row 0 has filter 9, expected 0 to 4"):
        decode_image(path, 16)


# --- TIFF ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("deflate", "predict"), [(False, False), (True, False), (True, True)])
def test_sixteen_bit_colour_tiff_keeps_its_depth(tmp_path, order, deflate, predict):
    pixels = np.ascontiguousarray(SQUARE[:, :, :3])
    path = write_deep_tiff(tmp_path / "a.tif", pixels, order, deflate, predict)
    assert np.array_equal(decode_image(path, 31), pixels)


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": (16, 16)},
        {"rowsperstrip": 5},
        {"compression": "zlib"},
        {"compression": "zlib", "tile": (16, 32)},
    ],
    ids=lambda layout: "+".join(layout) or "plain",
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_layout_of_a_tiff_gives_the_same_pixels(tmp_path, bits, channels, planar, layout):
    if channels == 1 and planar == "separate":
        planar = "contig"
    pixels = SQUARE[:, :, :channels] >> (16 - bits)
    stored = pixels.astype(f"u{bits // 8}")
    stored = stored[:, :, 0] if channels == 1 else stored.transpose(2, 0, 1) if planar == "separate" else stored
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        planarconfig=None if channels == 1 else planar,
        **layout,
    )
    assert np.array_equal(decode_image(tmp_path / "a.tif", 31), shown(pixels))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_zero_is_white_at_every_depth(tmp_path, bits, layout):
    pixels = (SQUARE[:, :, 0] >> (16 - bits)).astype(f"u{bits // 8}")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", **layout)
    assert np.array_equal(decode_image(tmp_path / "a.tif", 31)[:, :, 1], np.iinfo(pixels.dtype).max - pixels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_zero_is_white_in_packed_pixels_of_few_bits(tmp_path, bits):
    values = (SQUARE[:, :, 0] >> (16 - bits)).astype(np.uint8)
    packed = np.unpackbits(values[:, :, None], axis=2)[:, :, 8 - bits :].reshape(31, -1)
    fields = {256: [31], 257: [31], 258: [bits], 259: [1], 262: [0], 277: [1], 278: [31]}
    path = write_tiff(tmp_path / "a.tif", [np.packbits(packed, axis=1).tobytes()], fields)
    top = 2**bits - 1
    assert np.array_equal(decode_image(path, 31)[:, :, 2], (top - values) * (255 // top))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("content", [SQUARE, SMOOTH, np.zeros_like(SQUARE)], ids=["noise", "smooth", "black"])
def test_deep_grey_of_every_compression_is_right(tmp_path, compression, content):
    Image.fromarray(content[:, :, 0]).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(decode_image(tmp_path / "a.tif", 31)[:, :, 0], content[:, :, 0])


def test_a_long_lzw_strip_runs_through_all_code_widths(tmp_path):
    pixels = np.tile(SQUARE[:, :, 0], (6, 6))[:180, :180]
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(decode_image(tmp_path / "a.tif", 180)[:, :, 0], pixels)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
@pytest.mark.parametrize("photometric", [0, 1])
def test_packed_pixels_count_up_to_their_own_largest_value(tmp_path, bits, photometric):
    values = SQUARE[:, :, 0] >> (16 - bits)
    packed = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(31, 31, 2), axis=2)[:, :, 16 - bits :]
    rows = np.packbits(packed.reshape(31, -1), axis=1)
    fields = {256: [31], 257: [31], 258: [bits], 259: [1], 262: [photometric], 277: [1], 278: [10]}
    path = write_tiff(tmp_path / "a.tif", [rows[r : r + 10].tobytes() for r in range(0, 31, 10)], fields)
    unit = values / (2**bits - 1)
    assert np.abs(load_image(path, 31)[0].numpy() - (unit if photometric else 1 - unit)).max() < 1e-4


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("layout", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_floats_of_every_width_are_used_as_they_are(tmp_path, kind, layout):
    pixels = (SQUARE[:, :, :3] / 65535).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **layout)
    assert np.abs(load_image(tmp_path / "a.tif", 31).numpy() - pixels.transpose(2, 0, 1).astype(float)).max() < 1e-4


def test_the_predictor_of_floats_is_undone(tmp_path):
    pixels = (SMOOTH[:, :, 0] / 65535).astype("f4")
    rows = pixels.astype(">f4").view(np.uint8).reshape(31, 31, 4).transpose(0, 2, 1).reshape(31, -1)
    steps = np.diff(rows, axis=1, prepend=np.zeros((31, 1), np.uint8))
    fields = {256: [31], 257: [31], 258: [32], 259: [1], 262: [1], 277: [1], 278: [31], 317: [3], 339: [3]}
    path = write_tiff(tmp_path / "a.tif", [steps.tobytes()], fields)
    assert np.abs(load_image(path, 31)[0].numpy() - pixels).max() < 1e-4


@pytest.mark.parametrize("bits", [8, 16])
def test_ink_is_shown_as_pillow_shows_it(tmp_path, bits):
    ink = SQUARE >> (16 - bits)
    tifffile.imwrite(tmp_path / "a.tif", ink.astype(f"u{bits // 8}"), photometric="separated")
    expected = Image.fromarray((SQUARE >> 8).astype(np.uint8), "CMYK").convert("RGB")
    assert np.abs(load_image(tmp_path / "a.tif", 31).numpy() * 255 - np.asarray(expected).transpose(2, 0, 1)).max() < 2


@pytest.mark.parametrize(
    ("stored", "options", "said"),
    [
        (np.zeros((20, 20, 5), np.uint16), {"planarconfig": "contig"}, "holds 5 channels, of which 1 carry colour"),
        (np.zeros((20, 20), np.complex64), {}, "holds samples of 64 bits"),
        (np.zeros((20, 20), np.int8), {}, r"holds samples of 8 bits \(signed integers\)"),
        (np.full((20, 20), -1000, np.int16), {}, "holds values from -1000 to -1000, expected 0 to 65535"),
        (np.full((20, 20), 300000, np.uint32), {}, "holds values from 300000 to 300000, expected 0 to 65535"),
        (np.full((20, 20), 255, np.float64), {}, "holds values from 255 to 255, expected 0 to 1 for float"),
        (np.zeros((20, 20, 3), np.uint16), {"photometric": "cielab"}, "holds colours of another kind .CIE"),
        (np.zeros((20, 20, 3), np.uint8), {"photometric": "cielab"}, "holds colours of another kind .CIE"),
    ],
)
def test_a_tiff_that_cannot_be_shown_right_is_refused_by_name(tmp_path, stored, options, said):
    tifffile.imwrite(tmp_path / "a.tif", stored, **{"photometric": "minisblack", "planarconfig": None} | options)
    with pytest.raises(ImageError, match=rf"a\.tif' {said}"):
        load_image(tmp_path / "a.tif", 20)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_that_does_not_say_what_zero_means_is_refused(tmp_path, bits):
    fields = {256: [4], 257: [4], 258: [bits], 259: [1], 277: [1], 278: [4]}
    path = write_tiff(tmp_path / "a.tif", [bytes(2 * bits)], fields)
    with pytest.raises(ImageError, match="does not say whether 0 is black or white"):
        load_image(path, 16)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "zstd"])
def test_packed_colour_of_sixteen_bits_is_not_cut_to_eight(tmp_path, compression):
    # Pillow cannot write it: the strips are those of a grey image of the same bytes.
    rows = SMOOTH[:, :, :3].astype("<u2").reshape(31, -1).view(np.uint8)
    Image.fromarray(rows).save(tmp_path / "grey.tif", compression=compression)
    with tifffile.TiffFile(tmp_path / "grey.tif") as grey:
        page, data = grey.pages[0], (tmp_path / "grey.tif").read_bytes()
        strips = [data[at : at + count] for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        fields = {
            256: [31],
            257: [31],
            258: [16] * 3,
            259: [int(page.compression)],
            262: [2],
            277: [3],
            278: [int(page.rowsperstrip)],
        }
    path = write_tiff(tmp_path / "a.tif", strips, fields)
    assert np.array_equal(decode_image(path, 31), SMOOTH[:, :, :3])


def test_white_is_zero_with_alpha_is_right_in_eight_bits(tmp_path):
    pixels = (SQUARE[:, :, :2] >> 8).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="miniswhite", extrasamples=["unassalpha"], planarconfig="contig"
    )
    assert np.array_equal(decode_image(tmp_path / "a.tif", 31)[:, :, 0], 255 - pixels[:, :, 0])


@pytest.mark.parametrize("bits", [8, 16])
def test_ink_with_alpha_is_read_like_ink_without(tmp_path, bits):
    ink = (SQUARE >> (16 - bits)).astype(f"u{bits // 8}")
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    tifffile.imwrite(
        tmp_path / "b.tif",
        np.dstack([ink, ink[:, :, :1]]),
        photometric="separated",
        extrasamples=["unassalpha"],
        planarconfig="contig",
    )
    plain, alpha = (load_image(tmp_path / name, 31) for name in ("a.tif", "b.tif"))
    assert (plain - alpha).abs().max() < 2 / 255


def test_colours_that_are_multiplied_with_their_alpha_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SQUARE, photometric="rgb", extrasamples=["assocalpha"])
    with pytest.raises(ImageError, match="holds colours that are multiplied with their alpha"):
        load_image(tmp_path / "a.tif", 31)


def test_a_deep_tiff_whose_deflated_data_are_damaged_is_refused_by_its_checksum(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (20, 20), np.uint16)
    packed = bytearray(zlib.compress(values.tobytes(), 0))  # stored: the length stays right
    fields = {256: [20], 257: [20], 258: [16], 259: [8], 262: [1], 277: [1], 278: [20]}
    assert decode_image(write_tiff(tmp_path / "a.tif", [bytes(packed)], fields), 20)[0, 0, 0] == values[0, 0]
    packed[400] ^= 0xFF
    with pytest.raises(ImageError, match=r"b\.tif' cannot be decoded, it is damaged.*incorrect data check"):
        decode_image(write_tiff(tmp_path / "b.tif", [bytes(packed)], fields), 20)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize(("extra", "hides"), [("unspecified", False), ("unassalpha", True)])
def test_a_channel_beside_the_colours_hides_a_mask_only_where_it_is_alpha(tmp_path, kind, planar, extra, hides):
    pixels = np.full((20, 20, 4), 200, kind)
    pixels[:, :8, 3] = 0
    stored = pixels.transpose(2, 0, 1) if planar == "separate" else pixels
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[extra], planarconfig=planar)
    assert read_mask(tmp_path / "a.tif").mean() == (0.6 if hides else 1)


def test_a_palette_of_eight_bit_colours_is_refused_not_shown_black(tmp_path):
    fields = {256: [16], 257: [16], 258: [8], 259: [1], 262: [3], 277: [1], 278: [16], 320: [*range(256)] * 3}
    path = write_tiff(tmp_path / "a.tif", [bytes(range(256))], fields)
    for read in (read_mask, lambda path: load_image(path, 16)):
        with pytest.raises(ImageError, match=r"a\.tif' holds a palette that counts up to 255"):
            read(path)
    fields[320] = [257 * value for value in range(256)] * 3
    path = write_tiff(tmp_path / "b.tif", [bytes(range(256))], fields)
    assert np.array_equal(decode_image(path, 16)[:, :, 1].ravel(), np.arange(256))


def test_deep_colour_of_an_unread_compression_is_refused_not_cut_to_eight_bits(tmp_path):
    fields = {256: [4], 257: [4], 258: [16, 16, 16], 259: [34712], 262: [2], 277: [3], 278: [4]}
    path = write_tiff(tmp_path / "a.tif", [bytes(96)], fields)
    with pytest.raises(ImageError, match="16-bit samples with TIFF compression 34712, which is not read"):
        load_image(path, 16)


# --- damage ----------------------------------------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    if path.suffix == ".png":
        whole = whole[: len(whole) // 2]
    elif path.stem == "a":
        at = whole.rindex(struct.pack("<I", 7 * 31 * 3 * 2))  # the last strip but one claims to be short
        whole[at : at + 4] = struct.pack("<I", 10)
    else:
        whole[40:60] = bytes(20)  # inside the first compressed strip
    path.write_bytes(whole)


@pytest.mark.parametrize("read", [lambda path: decode_image(path, 16), read_mask])
def test_deep_colour_that_is_cut_short_is_an_error_that_names_the_file(tmp_path, read):
    colour = DEEP[:, :, :3]
    for path in (
        write_deep_png(tmp_path / "a.png", colour),
        write_deep_tiff(tmp_path / "a.tif", colour),
        write_deep_tiff(tmp_path / "b.tif", colour, deflate=True),
    ):
        cut_short(path)
        with pytest.raises(ImageError, match=f"{path.name}' cannot be decoded, it is damaged or cut short"):
            read(path)
