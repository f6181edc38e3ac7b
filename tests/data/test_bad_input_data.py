"""Bad folders and files: each has one error that names what is wrong and says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from d24fad_lite.data.benchmark import (
    open_benchmark,
    open_folder,
    require_disjoint,
    require_shots,
)
from d24fad_lite.data.images import ImageError, load_image, load_mask, stored_size
from d24fad_lite.data.layouts.task_files import LayoutError
from d24fad_lite.data.names import UnknownTaskError


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_root, tmp_path / "root"))


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data folder '.*nowhere' does not exist; check the path"):
        open_benchmark(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_folder(tmp_path / "nowhere")


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(NotADirectoryError, match="is a file, expected a folder"):
        open_benchmark(tmp_path / "a.png")


def test_an_empty_root(tmp_path):
    with pytest.raises(LayoutError, match="holds no task; expected ROOT/<TASK>/train/good"):
        open_benchmark(tmp_path)
    with pytest.raises(LayoutError, match="holds no image; expected png"):
        open_folder(tmp_path)


def test_an_empty_task(root):
    (root / "RSNA").mkdir()
    with pytest.raises(LayoutError, match="task 'RSNA' at .* is empty or of no known layout"):
        open_benchmark(root)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split(root, split):
    shutil.rmtree(root / "Blobs" / split)
    (root / "Blobs" / split / "good").mkdir(parents=True)
    with pytest.raises(LayoutError, match=f"task 'Blobs' has no {split} images under"):
        open_benchmark(root)


def test_two_folders_for_one_task(root):
    (root / "Blobs").rename(root / "His")
    (root / "Stripes").rename(root / "HIS_")
    with pytest.raises(LayoutError, match="folders 'His' and 'HIS_' in .* are the same task 'HIS'; merge or rename"):
        open_benchmark(root)


def test_an_unknown_task_names_those_there_are(root):
    bench = open_benchmark(root)
    for act in (lambda: bench["Strips"], lambda: bench.without("Strips"), lambda: open_benchmark(root, ["Strips"])):
        with pytest.raises(UnknownTaskError) as caught:
            act()
        text = str(caught.value)
        assert "no task 'Strips'" in text and "available: Blobs, Stripes (did you mean 'Stripes'?)" in text
    assert issubclass(UnknownTaskError, KeyError) and issubclass(UnknownTaskError, ValueError)
    assert bench.get("Strips") is None


def test_fewer_images_than_shots(root):
    for path in sorted((root / "Blobs/train/good").iterdir())[3:]:
        path.unlink()
    task = open_benchmark(root)["Blobs"]
    with pytest.raises(ValueError, match="4 shots need") as caught:
        require_shots(task, 4)
    assert str(caught.value) == (
        "task 'Blobs' has 3 normal training images, 4 shots need at least 5 (4 supports and a query); "
        "lower shots or add images under Blobs/train/good"
    )
    with pytest.raises(ValueError, match="4 shots need at least 4; lower shots"):
        require_shots(task, 4, query=False)


@pytest.mark.parametrize("shots", [0, -1, 2.0, "4", None])
def test_shots_that_are_no_positive_whole_number(root, shots):
    with pytest.raises(ValueError, match="shots must be a whole number of at least 1"):
        require_shots(open_benchmark(root)["Blobs"], shots)


def test_a_mask_without_image(root):
    shutil.copy(root / "Blobs/test/mask/000.png", root / "Blobs/test/mask/900.png")
    with pytest.raises(LayoutError, match=r"mask '.*900\.png' has no image"):
        open_benchmark(root)


def test_a_mask_of_another_size(root):
    Image.fromarray(np.ones((16, 20), np.uint8)).save(root / "Blobs/test/mask/002.png")
    task = open_benchmark(root)["Blobs"]
    message = r"mask '.*002\.png' is 20x16 pixels, its image '002\.png' is 32x32; make the mask the size of its image"
    with pytest.raises(ImageError, match=message):
        task.test.masks(32)
    with pytest.raises(LayoutError, match=message):
        open_benchmark(root, check=True)


def test_the_same_image_in_train_and_test(root):
    shutil.copy(root / "Blobs/train/good/004.png", root / "Blobs/test/good/other.png")
    message = r"task 'Blobs': 'test/good/other\.png' is the same image as 'train/good/004\.png'.*remove one"
    with pytest.raises(LayoutError, match=message):
        open_benchmark(root, check=True)
    task = open_benchmark(root)["Blobs"]
    with pytest.raises(ValueError, match=message):
        require_disjoint(task)
    assert [problem.severity for problem in task.check()] == ["error"]


def test_all_errors_of_a_check_are_told_at_once(root):
    (root / "Blobs/train/good/000.png").write_bytes(b"")
    (root / "Stripes/test/good/000.png").write_bytes(b"no image")
    with pytest.raises(LayoutError, match=r"(?s)Blobs.*empty.*\n.*Stripes.*not a readable"):
        open_benchmark(root, check=True)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [lambda p: load_image(p, 32), lambda p: load_mask(p, 32), stored_size])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "dcm"])
def test_a_zero_byte_or_missing_file(tmp_path, suffix, read):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(ImageError, match=rf"a\.{suffix}' does not exist"):
        read(path)
    path.touch()
    with pytest.raises(ImageError, match=rf"a\.{suffix}' is empty \(0 bytes\); copy it again or remove it"):
        read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_an_unreadable_file(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"these are no pixels" * 50)
    with pytest.raises(ImageError, match=rf"a\.{suffix}' is not a readable PNG, JPEG, BMP or TIFF"):
        load_image(path, 32)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("suffix", "deep"), [("png", 0), ("jpg", 0), ("tif", 0), ("bmp", 0), ("png", 1), ("tif", 1)])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file(tmp_path, suffix, deep, kept):
    path = tmp_path / f"a.{suffix}"
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65535, (64, 64), dtype=np.uint16) if deep else rng.integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ImageError, match=rf"a\.{suffix}'"):
        load_image(path, 32)


def test_a_file_of_a_format_that_was_not_promised(tmp_path):
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(ImageError, match="not a readable PNG"):
        load_image(tmp_path / "a.png", 32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_or_infinity_in_a_float_tiff(tmp_path, value):
    pixels = np.full((20, 20), 0.5, np.float32)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif' holds NaN or infinite values; replace them"):
        load_image(tmp_path / "a.tif", 32)
    with pytest.raises(ImageError, match=r"a\.tif' holds NaN or infinite values"):
        load_mask(tmp_path / "a.tif", 32)


@pytest.mark.parametrize("pixels", [np.full((20, 20), 2.0, np.float32), np.full((20, 20), -5, np.int32)])
def test_values_out_of_range(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif' holds values from .* expected 0 to .*rescale it"):
        load_image(tmp_path / "a.tif", 32)


def test_a_tiff_with_several_frames(tmp_path):
    frames = [Image.fromarray(np.full((20, 20), v, np.uint8)) for v in (1, 2, 3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"a\.tif' holds 3 frames, expected one; save each frame as its own file"):
        load_image(tmp_path / "a.tif", 32)


def test_an_image_of_absurd_size(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match=r"a\.png' is too large to open safely"):
        load_image(tmp_path / "a.png", 32)


@pytest.mark.parametrize("size", [8, 0, -1, (128, 64), 64.0])
def test_a_tiny_or_non_square_size(root, size):
    task = open_benchmark(root)["Blobs"]
    for act in (task.train.images, task.test.masks, lambda s: load_image(task.train[0], s)):
        with pytest.raises(ValueError, match="image size must be"):
            act(size)


def test_an_unreadable_file_of_a_set_is_named_when_images_are_asked_for(root):
    (root / "Blobs/train/good/003.png").write_bytes(b"broken")
    train = open_benchmark(root)["Blobs"].train
    with pytest.raises(ImageError, match=r"003\.png"):
        train.images(32)
    assert train.images(32, [0, 1, 2]).shape == (3, 3, 32, 32)


def test_a_file_that_vanished_after_opening_is_named(root):
    task = open_benchmark(root)["Blobs"]
    task.train[0].unlink()
    with pytest.raises(ImageError, match=r"000\.png' does not exist"):
        task.train.images(32)
    with pytest.raises(ImageError, match=r"000\.png' cannot be read"):
        task.train.hashes()
    assert any("does not exist" in problem.message for problem in task.check())
