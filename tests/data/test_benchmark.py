"""Benchmarks as mappings, image sets, the store of decoded pixels, and checks of whole tasks."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from d24fad_lite.data.benchmark import (
    Benchmark,
    Task,
    open_benchmark,
    open_folder,
    require_disjoint,
    require_shots,
)
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.images import load_image
from d24fad_lite.data.names import canonical_task_name
from d24fad_lite.data.pixel_cache import PixelCache


@pytest.fixture
def bench(tiny_root: Path) -> Benchmark:
    return open_benchmark(tiny_root)


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_root, tmp_path / "root"))


def test_a_benchmark_maps_names_to_tasks_in_natural_order(bench):
    assert list(bench) == ["Blobs", "Stripes"] and len(bench) == 2
    assert isinstance(bench["Blobs"], Task) and bench["Blobs"].name == "Blobs"
    assert "Blobs" in bench and "blobs" in bench and "Rings" not in bench


def test_a_task_has_normal_training_images_and_labelled_test_images(bench):
    task = bench["Stripes"]
    assert len(task.train) == 10 and not task.train.labels.any()
    assert task.test.labels.tolist() == [0] * 5 + [1] * 5 and task.test.labels.dtype == np.int64
    assert task.train.names[0] == "train/good/000.png" and task.test.names[-1] == "test/bad/004.png"
    assert task.has_masks and task.warnings == [] and task.valid is None


def test_leaving_one_task_out_keeps_the_others_and_their_pixels(bench):
    rest = bench.without("blobs")
    assert list(rest) == ["Stripes"] and list(bench) == ["Blobs", "Stripes"]
    assert rest["Stripes"] is bench["Stripes"]


def test_a_single_task_folder_opens_as_a_benchmark_of_one(tiny_root):
    bench = open_benchmark(tiny_root / "Blobs")
    assert list(bench) == ["Blobs"] and len(bench["Blobs"].train) == 10


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("His", "HIS"),
        ("his", "HIS"),
        ("Brain_Tumor", "BrainTumor"),
        ("brain-tumor", "BrainTumor"),
        ("rsna", "RSNA"),
        ("BrainTumor", "BrainTumor"),
        ("My_Task", "My_Task"),
        ("RSNA2", "RSNA2"),
    ],
)
def test_published_tasks_have_one_name_and_others_keep_theirs(name, canonical):
    assert canonical_task_name(name) == canonical


def test_tasks_are_found_under_their_aliases(own_root):
    (own_root / "Blobs").rename(own_root / "Brain_Tumor")
    bench = open_benchmark(own_root, tasks=["braintumor"])
    assert list(bench) == ["BrainTumor"]
    for alias in ("BrainTumor", "Brain_Tumor", "brain tumor", "BRAIN-TUMOR"):
        assert bench[alias].train.name == "BrainTumor/train"


def test_only_the_asked_tasks_are_looked_into(own_root):
    shutil.rmtree(own_root / "Blobs/train")
    assert list(open_benchmark(own_root, tasks=["Stripes"])) == ["Stripes"]


def test_folders_that_are_no_tasks_are_ignored_with_a_warning(own_root):
    (own_root / "weights").mkdir()
    (own_root / "weights/a.bin").touch()
    (own_root / ".git").mkdir()
    bench = open_benchmark(own_root)
    assert list(bench) == ["Blobs", "Stripes"] and len(bench.warnings) == 1 and "weights" in bench.warnings[0]


def test_images_are_those_of_single_loading_in_order(bench):
    images = bench["Blobs"].test.images(24)
    assert images.shape == (10, 3, 24, 24) and images.dtype == torch.float32
    for image, path in zip(images, bench["Blobs"].test.paths, strict=True):
        assert torch.equal(image, load_image(path, 24))


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_change_nothing(tiny_root, workers):
    one = open_benchmark(tiny_root, workers=workers)["Blobs"].train.images(32)
    assert torch.equal(one, open_benchmark(tiny_root)["Blobs"].train.images(32))


@pytest.mark.parametrize(
    "indices", [[3, 1, 3], np.array([0, 9]), torch.tensor([2]), slice(2, 5), 4, -1, [], np.arange(10) > 6]
)
def test_any_way_to_choose_images_works(bench, indices):
    images = bench["Blobs"].test
    whole = np.arange(10)
    chosen = np.atleast_1d(whole[indices]) if not isinstance(indices, list) else whole[np.array(indices, int)]
    assert torch.equal(images.images(16, indices), images.images(16)[chosen])
    assert torch.equal(images.masks(16, indices), images.masks(16)[chosen])


def test_a_position_outside_the_set_is_an_error(bench):
    with pytest.raises(IndexError, match="'Blobs/test' has 10 images"):
        bench["Blobs"].test.images(16, [10])


def test_each_image_is_decoded_once_per_size(bench):
    images = bench["Blobs"].train
    images.images(32)
    images.images(32, [1, 2])
    images.subset([0, 1]).images(32)
    assert images.decoded.decodes == 10
    images.images(16, [0])
    assert images.decoded.decodes == 11


def test_returned_images_are_copies(bench):
    images = bench["Blobs"].train
    images.images(32).zero_()
    assert images.images(32).max() > 0


def test_the_store_is_bounded_and_a_full_store_decodes_again(tiny_root):
    images = open_benchmark(tiny_root, cache_bytes=4 * 32 * 32 * 3)["Blobs"].train
    first = images.images(32)
    assert torch.equal(first, images.images(32))
    assert images.decoded.bytes == 4 * 32 * 32 * 3 and images.decoded.decodes == 10 + 6
    images.decoded.clear()
    assert images.decoded.bytes == 0


def test_the_store_is_shared_by_the_tasks_of_a_benchmark(bench):
    assert bench["Blobs"].train.decoded is bench["Stripes"].test.decoded


def test_a_pickled_task_starts_with_an_empty_store(bench):
    task = bench["Blobs"]
    wanted = task.test.images(32)
    copy = pickle.loads(pickle.dumps(task))
    assert copy.test.decoded.bytes == 0 and torch.equal(copy.test.images(32), wanted)


@pytest.mark.parametrize(("limit", "workers"), [(-1, None), (0, 0)])
def test_a_senseless_store_is_refused(limit, workers):
    with pytest.raises(ValueError, match="must be"):
        PixelCache(limit, workers)


def test_masks_are_false_for_normal_images(bench):
    masks = bench["Blobs"].test.masks(32)
    assert masks.dtype == torch.bool and masks.sum(dim=(1, 2)).tolist() == [0] * 5 + [64] * 5
    assert bench["Blobs"].train.masks(32) is None


def test_images_without_a_mask_are_marked_as_unknown(own_root):
    (own_root / "Blobs/test/mask/001.png").unlink()
    test = open_benchmark(own_root)["Blobs"].test
    assert test.mask_known.tolist() == [True] * 6 + [False] + [True] * 3
    assert test.masks(32)[6].sum() == 0


def test_hashes_are_sha256_of_the_files(bench):
    train = bench["Blobs"].train
    assert train.hashes()[3] == hashlib.sha256(train[3].read_bytes()).hexdigest()
    assert train.hashes([3, 0]) == [train.hashes()[3], train.hashes()[0]]


def test_subsets_keep_labels_masks_groups_and_kinds(own_root):
    (own_root / "Blobs/groups.csv").write_text("file,group\ntest/bad/000.png,p7\n")
    subset = open_benchmark(own_root)["Blobs"].test.subset([5, 0])
    assert subset.names == ["test/bad/000.png", "test/good/000.png"] and subset.labels.tolist() == [1, 0]
    assert subset.groups == ["p7", None] and subset.masks(32).sum(dim=(1, 2)).tolist() == [64, 0]


def test_an_image_set_is_a_sequence_of_paths(bench):
    train = bench["Blobs"].train
    assert list(train) == train.paths and train[2:4] == train.paths[2:4] and train.paths[1] in train


def test_lists_of_other_length_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has 1 paths but 2 labels"):
        ImageSet("x", tmp_path, [tmp_path / "a.png"], labels=[0, 1])


def test_a_patient_on_both_sides_is_warned_about(own_root):
    (own_root / "Blobs/groups.csv").write_text("file,group\ntrain/good/000.png,p1\ntest/bad/000.png,p1\n")
    task = open_benchmark(own_root)["Blobs"]
    assert task.train.groups[0] == "p1" and task.test.groups[5] == "p1"
    assert any("1 group(s) (patients) in both train and test, first: 'p1'" in warning for warning in task.warnings)


def test_a_folder_of_images_opens_without_labels(tiny_root):
    images = open_folder(tiny_root / "Blobs/test")
    assert len(images) == 15 and not images.labels.any() and images.names[0] == "bad/000.png"


def test_enough_images_for_the_shots_pass(bench):
    require_shots(bench["Blobs"], 9)
    require_shots(bench["Blobs"], 10, query=False)


def test_a_sound_task_has_no_problems(bench, tiny_root):
    assert bench["Blobs"].check() == []
    require_disjoint(bench["Blobs"])
    open_benchmark(tiny_root, check=True)


def test_odd_but_usable_images_are_warnings(own_root):
    good = own_root / "Blobs/train/good"
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(good / "tiny.png")
    Image.fromarray(np.zeros((20, 100), np.uint8)).save(good / "wide.png")
    shutil.copy(good / "000.png", good / "copy.png")
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(own_root / "Blobs/test/mask/000.png")
    task = open_benchmark(own_root, tasks=["Blobs"], check=True)["Blobs"]
    text = "\n".join(task.warnings)
    for part in ("tiny.png' is only 5x5", "wide.png' is 100x20", "copy.png' is the same image as", "marks nothing"):
        assert part in text
    assert {problem.severity for problem in task.check()} == {"warning"}


def test_the_repr_shows_the_counts(bench):
    assert "Task('Blobs', train 10, test 5+5, masks)" in repr(bench)
    assert repr(bench["Blobs"].test) == "ImageSet('Blobs/test', 5 normal, 5 anomalous)"


def test_real_images_open_and_are_sound():
    root = Path(__file__).parents[2].parent / "shared/real_proxies"
    if not root.is_dir():
        pytest.skip("the real images are not beside this checkout")
    bench = open_benchmark(root)
    assert {"RSNA", "BrainTumor", "LAG", "HIS"} <= set(bench)
    images = bench["Brain_Tumor"].test.images(64, slice(0, 8))
    assert images.shape == (8, 3, 64, 64) and 0 <= images.min() < images.max() <= 1
    assert [problem for problem in bench["HIS"].check() if problem.severity == "error"] == []
