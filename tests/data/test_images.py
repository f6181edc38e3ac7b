"""Decoding: bit depths, colour modes and resizing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from d24fad_lite.data.images import check_size, decode_image, load_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 31, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (40, 31), dtype=np.uint8)
DEEP_GREY = RNG.integers(0, 65536, (40, 31), dtype=np.uint16)


def pillow_reference(path: Path, size: int) -> torch.Tensor:
    image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("size", [16, 31, 128])
def test_eight_bit_images_equal_pillow_lanczos_exactly(tmp_path, suffix, pixels, size):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    image = load_image(path, size)
    assert image.shape == (3, size, size) and image.dtype == torch.float32
    assert torch.equal(image, pillow_reference(path, size))
    assert decode_image(path, size).dtype == np.uint8


def test_eight_bit_images_equal_the_path_of_torchvision(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    pipeline = transforms.Compose(
        [transforms.Resize((64, 64), transforms.InterpolationMode.LANCZOS), transforms.ToTensor()]
    )
    assert torch.equal(load_image(tmp_path / "a.png", 64), pipeline(Image.open(tmp_path / "a.png").convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "PA"])
def test_palettes_bits_and_alpha_become_plain_colour(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "PA" else "a.png")
    source = Image.fromarray(COLOUR)
    if mode == "PA":
        source.convert("RGBA").convert("P").save(tmp_path / "a.png", transparency=0)
        path = tmp_path / "a.png"
    else:
        source.convert(mode).save(path)
    assert torch.equal(load_image(path, 32), pillow_reference(path, 32))


def test_transparent_pixels_keep_their_colour(tmp_path):
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, :, 0] = 200  # red and fully transparent
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert torch.allclose(load_image(tmp_path / "a.png", 16)[0], torch.tensor(200 / 255))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path, suffix):
    flat = np.full((20, 20), 12345, np.uint16)
    Image.fromarray(flat).save(tmp_path / f"a.{suffix}")
    pixels = decode_image(tmp_path / f"a.{suffix}", 16)
    assert pixels.dtype == np.uint16 and (pixels == 12345).all()
    assert load_image(tmp_path / f"a.{suffix}", 16)[0, 0, 0].item() == pytest.approx(12345 / 65535, abs=1e-7)


def test_sixteen_bit_grey_follows_lanczos_of_the_float_values(tmp_path):
    Image.fromarray(DEEP_GREY).save(tmp_path / "a.png")
    wanted = np.asarray(
        Image.fromarray(DEEP_GREY.astype(np.float32) / 65535).resize((24, 24), Image.Resampling.LANCZOS)
    ).clip(0, 1)
    assert np.abs(load_image(tmp_path / "a.png", 24).numpy() - wanted).max() < 1.5 / 65535


def test_float_tiffs_are_used_as_they_are(tmp_path):
    Image.fromarray(np.full((20, 20), 0.25, np.float32)).save(tmp_path / "a.tif")
    assert torch.allclose(load_image(tmp_path / "a.tif", 16), torch.tensor(0.25), atol=1e-5)


def test_images_stay_within_zero_and_one_where_lanczos_overshoots(tmp_path):
    edge = np.zeros((40, 40), np.uint16)
    edge[:, 20:] = 65535
    Image.fromarray(edge).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", 100)
    assert image.min() == 0 and image.max() == 1


def test_a_source_that_is_not_square_is_squeezed(tmp_path):
    wide = np.zeros((20, 80), np.uint8)
    wide[:, 40:] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", 32)
    assert image[0, :, :14].max() < 0.1 and image[0, :, 18:].min() > 0.9


@pytest.mark.parametrize("size", [0, 15, -3, 32.0, "32", None, True, (32, 48)])
def test_a_tiny_or_non_square_size_is_refused(size):
    with pytest.raises(ValueError, match="image size must be"):
        check_size(size)


def test_numpy_integers_are_sizes():
    assert check_size(np.int64(16)) == 16
