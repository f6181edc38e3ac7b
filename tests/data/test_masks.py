"""Masks: what counts as marked in every mode, and how they are resized."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import write_deep_png, write_dicom, write_tiff
from PIL import Image

from d24fad_lite.data.images import ImageError, load_mask, read_mask

RNG = np.random.default_rng(0)
LESION = np.zeros((20, 24), bool)
LESION[5:9, 3:12] = True


def slow_any_coverage(mask: np.ndarray, size: int) -> np.ndarray:
    height, width = mask.shape
    small = np.zeros((size, size), bool)
    for i in range(size):
        for j in range(size):
            rows = [r for r in range(height) if r < (i + 1) * height / size and r + 1 > i * height / size]
            columns = [c for c in range(width) if c < (j + 1) * width / size and c + 1 > j * width / size]
            small[i, j] = any(mask[r, c] for r in rows for c in columns)
    return small


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(17, 45), st.integers(17, 45)), elements=st.booleans()))
def test_shrunken_masks_mark_every_pixel_that_touches_a_lesion(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("masks") / "m.png"
    Image.fromarray(mask.astype(np.uint8)).save(path)  # ones, not 255: any non-zero value counts
    assert np.array_equal(load_mask(path, 16).numpy(), slow_any_coverage(mask, 16))


def test_a_single_marked_pixel_survives_shrinking(tmp_path):
    mask = np.zeros((500, 500), np.uint8)
    mask[123, 456] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert load_mask(tmp_path / "m.png", 32).sum() >= 1


def test_enlarged_masks_repeat_their_pixels(tmp_path):
    mask = RNG.integers(0, 2, (16, 16), dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png", 48).numpy(), mask.repeat(3, 0).repeat(3, 1).astype(bool))


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "RGBA", "P"])
def test_masks_of_every_mode_mean_the_same(tmp_path, mode):
    mask = np.zeros((20, 20), bool)
    mask[5:9, 3:12] = True
    if mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16) * 300)
    elif mode == "P":
        image = Image.fromarray(mask.astype(np.uint8))
        image.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    else:
        image = Image.fromarray(mask.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png", 20).numpy(), mask)


def test_noise_of_jpeg_masks_is_not_a_lesion(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:33, 11:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.jpg", quality=60)
    assert np.array_equal(load_mask(tmp_path / "m.jpg", 64).numpy(), mask > 0)


# --- a mask marks what it shows --------------------------------------------------------------------------------------


def test_a_palette_counts_by_its_colours_not_by_its_indices(tmp_path):
    image = Image.fromarray(np.where(LESION, 1, 0).astype(np.uint8))
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.save(tmp_path / "plain.png")
    swapped = Image.fromarray(np.where(LESION, 0, 1).astype(np.uint8))  # index 0 is the red one
    swapped.putpalette([200, 0, 0, 0, 0, 0])
    swapped.save(tmp_path / "swapped.png")
    for name in ("plain", "swapped"):
        assert np.array_equal(read_mask(tmp_path / f"{name}.png"), LESION)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("brush", [255, 0], ids=["white brush", "black brush"])
@pytest.mark.parametrize("layer", [255, 0], ids=["on white", "on black"])
def test_a_brush_on_a_transparent_layer_is_the_mask(tmp_path, mode, brush, layer):
    grey = np.where(LESION, brush, layer).astype(np.uint8)
    alpha = Image.fromarray(np.where(LESION, 255, 0).astype(np.uint8))
    image = Image.fromarray(grey).convert("RGB" if mode == "RGBA" else "L")
    image.putalpha(alpha)
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), LESION)


@pytest.mark.parametrize("alpha", [0, 90, 255])
def test_transparency_that_is_the_same_everywhere_is_ignored(tmp_path, alpha):
    pixels = np.zeros((20, 24, 4), np.uint8)
    pixels[LESION], pixels[:, :, 3] = 255, alpha
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), LESION)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_colour_that_is_declared_transparent_is_not_marked(tmp_path, mode):
    grey = Image.fromarray(np.where(LESION, 255, 80).astype(np.uint8))
    clear = {"P": 80, "L": 80, "RGB": (80, 80, 80)}[mode]
    grey.convert(mode).save(tmp_path / "m.png", transparency=clear)
    assert np.array_equal(read_mask(tmp_path / "m.png"), LESION)


@pytest.mark.parametrize("channels", [2, 4])
def test_deep_masks_with_alpha_follow_the_same_rule(tmp_path, channels):
    pixels = np.full((20, 24, channels), 9, np.uint16)  # below the upper byte: a reader of 8 bits would see nothing
    pixels[:, :, -1] = np.where(LESION, 40000, 0)
    assert np.array_equal(read_mask(write_deep_png(tmp_path / "m.png", pixels)), LESION)


def test_paper_white_of_ink_is_not_black_and_black_ink_is(tmp_path):
    for name, grey in (("a", np.where(LESION, 255, 0)), ("b", np.where(LESION, 0, 255))):
        rgb = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
        rgb.convert("CMYK").save(tmp_path / f"{name}.tif")
    assert np.array_equal(read_mask(tmp_path / "a.tif"), LESION)
    assert np.array_equal(read_mask(tmp_path / "b.tif"), ~LESION)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_white_is_marked_where_zero_is_white(tmp_path, bits):
    top = 2**bits - 1
    stored = np.where(LESION, 0, top).astype(np.uint8 if bits < 16 else "<u2")
    strip = np.packbits(stored, axis=1).tobytes() if bits == 1 else stored.tobytes()
    path = write_tiff(
        tmp_path / "m.tif", [strip], {256: [24], 257: [20], 258: [bits], 259: [1], 262: [0], 277: [1], 278: [20]}
    )
    assert np.array_equal(read_mask(path), LESION)


@pytest.mark.parametrize("name", ["m.jpg", "m.png", "m.tif", "m"])
def test_noise_of_jpeg_is_told_by_content_not_by_suffix(tmp_path, name):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:33, 11:40] = 255
    Image.fromarray(mask).save(tmp_path / name, "JPEG", quality=60)
    assert np.array_equal(read_mask(tmp_path / name), mask > 0)


def test_noise_of_jpeg_inside_a_tiff_is_not_a_lesion_either(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:33, 11:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.tif", compression="jpeg", quality=60)
    assert np.array_equal(read_mask(tmp_path / "m.tif"), mask > 0)


def test_a_lossless_mask_named_jpg_keeps_its_faint_values(tmp_path):
    Image.fromarray(LESION.astype(np.uint8)).save(tmp_path / "m.jpg", "PNG")
    assert np.array_equal(read_mask(tmp_path / "m.jpg"), LESION)


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8", "u4"])
def test_masks_of_any_number_type_mark_what_is_not_zero(tmp_path, dtype):
    tifffile = pytest.importorskip("tifffile")
    value = {"i": -3, "u": 70000, "f": 255}[dtype[0]]
    tifffile.imwrite(tmp_path / "m.tif", np.where(LESION, value, 0).astype(dtype))
    assert np.array_equal(read_mask(tmp_path / "m.tif"), LESION)


def test_a_dicom_mask_is_refused_by_name(tmp_path):
    path = write_dicom(tmp_path / "m.dcm", LESION.astype(np.uint8), 8)
    with pytest.raises(ImageError, match=r"mask '.*m\.dcm' is a DICOM file, expected PNG"):
        read_mask(path)
