"""What `check()` says of images and masks that open well and would still falsify a result."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from d24fad_lite.data.benchmark import open_benchmark

LESION = np.zeros((32, 32), bool)
LESION[10:16, 10:16] = True
RAMP = np.linspace(0, 1, 32)[None, :] * np.ones((32, 1))


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_root / "Blobs", tmp_path / "Blobs")
    return tmp_path


def findings(root: Path) -> list[str]:
    return [problem.message for problem in open_benchmark(root)["Blobs"].check()]


def disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[-16:16, -16:16]
    return x * x + y * y < radius * radius


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (~LESION, "marks 96.5% of the image, (nearly) everything"),
        (np.ones((32, 32), bool), "marks 100.0% of the image, (nearly) everything"),
        (~disc(11), "and its border, it seems to be inverted"),
        (~disc(14.5), "and its border, it seems to be inverted"),
        (np.random.default_rng(0).random((32, 32)) < 0.75, "more than half; see whether it is inverted or holds noise"),
        (~LESION & False, "marks nothing, yet its image counts as anomalous"),
        (disc(15), ""),
        (LESION, ""),
    ],
)
def test_masks_of_everything_inverted_or_empty_ones_are_found(root, mask, message):
    Image.fromarray(mask.astype(np.uint8) * 255).save(root / "Blobs/test/mask/000.png")
    found = findings(root)
    assert len(found) == bool(message) and all("000.png" in text and message in text for text in found)


def test_a_mask_among_the_images_is_found_by_what_it_shows(root):
    Image.fromarray(LESION.astype(np.uint8) * 255).save(root / "Blobs/test/bad/000_m.png")
    found = "".join(findings(root))
    assert "1 image(s) are black and white" in found and "test/bad/000_m.png; they seem to be masks" in found


def test_a_white_layer_whose_opacity_is_the_lesion_is_taken_for_the_lesion_or_found(root):
    layer = np.full((32, 32, 4), 255, np.uint8)
    layer[..., 3] = LESION * 255
    Image.fromarray(layer).save(root / "Blobs/test/mask/000.png")
    task = open_benchmark(root)["Blobs"]
    marked = int(task.test.masks(32)[task.test.labels == 1][0].sum())
    assert marked == LESION.sum() or "(nearly) everything" in "".join(findings(root))


@pytest.mark.parametrize(("top", "found"), [(4095, True), (255, True), (65535, False), (9000, False)])
def test_deep_images_that_use_little_of_their_range_are_found_with_the_remedy(root, top, found):
    Image.fromarray((RAMP * top).astype(np.uint16)).save(root / "Blobs/train/good/000.png")
    text = "".join(findings(root))
    assert ("1 of 1 deep images use under 10% of their range, first: train/good/000.png (0.0% to" in text) is found
    assert ("multiply all images of a device by one factor" in text) is found


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("deep", [False, True])
def test_orientation_tags_are_found_in_every_format_and_depth(root, suffix, deep):
    if deep and suffix == "jpg":
        pixels = (RAMP * 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    else:
        pixels = (RAMP * 65535).astype(np.uint16) if deep else (RAMP * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"tiffinfo": {0x0112: 6}} if suffix == "tif" else {"exif": exif}
    Image.fromarray(pixels).save(root / f"Blobs/train/good/turned.{suffix}", **options)
    assert [text for text in findings(root) if "orientation" in text] == [
        f"task 'Blobs': 1 image(s) have an orientation tag, first: train/good/turned.{suffix} (tag 6); pixels are used "
        "as they are stored, viewers show them turned: save them upright, without the tag, and see that masks still fit"
    ]


def test_images_of_one_value_are_found(root):
    for name in ("a", "b"):
        Image.fromarray(np.full((32, 32), ord(name), np.uint8)).save(root / f"Blobs/test/good/{name}.png")
    assert findings(root) == [
        "task 'Blobs': 2 image(s) have the same value in every pixel, first: test/good/a.png; "
        "remove them, or write them again from their source"
    ]


def test_an_orientation_tag_of_a_mask_is_found_where_its_image_has_none(root):
    exif = Image.Exif()
    exif[0x0112] = 3
    mask = next(path for path in open_benchmark(root)["Blobs"].test.mask_paths if path is not None)
    Image.open(mask).save(mask, exif=exif)
    name = mask.relative_to(root / "Blobs").as_posix()
    assert [text for text in findings(root) if "orientation" in text] == [
        f"task 'Blobs': 1 mask(s) have an orientation tag, first: {name} (tag 3); "
        "pixels are used as they are stored, like those of images: see that they fit, and save them without the tag"
    ]
