"""Masks inside, beside and above the class folder, paired with their images by name."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from layout_files import left_out, masks_of, normals, touch
from PIL import Image

from d24fad_lite.data.benchmark import open_benchmark, open_folder
from d24fad_lite.data.layouts import read_task
from d24fad_lite.data.layouts.left_out import DataWarning
from d24fad_lite.data.layouts.task_files import LayoutError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Läsion é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("img", "mask"),
        ("img", "label"),
        ("img", "anomaly_mask"),
        ("Images", "Ground_Truth"),
        ("", "masks"),
        ("image", "labels"),
        ("images", "seg"),
        ("img", "Ground Truth"),
        ("images", "lesion_masks"),
        ("", "GT_mask"),
        ("img", "mask images"),
    ],
)
@pytest.mark.parametrize("kind", ["", "glioma/"])
def test_masks_inside_a_class_folder_are_masks_and_no_images(tmp_path, images, masks, kind):
    image, mask = (f"test/bad/{kind}{folder}/7.png".replace("//", "/") for folder in (images, masks))
    task = read_task(touch(normals(tmp_path), image, mask))
    assert [(i.label, i.kind) for i in task.splits["test"]] == [(0, None), (1, kind.strip("/") or None)]
    assert masks_of(task) == {image: mask} and task.warnings == []


def test_kinds_below_images_and_masks_pair_by_kind(tmp_path):
    names = [f"test/bad/{what}/{kind}/1.png" for what in ("images", "masks") for kind in ("a", "b")]
    task = read_task(touch(normals(tmp_path), *names))
    assert masks_of(task) == dict(zip(names[:2], names[2:], strict=True))


def test_a_kind_that_speaks_of_masks_first_is_no_folder_of_masks(tmp_path):
    task = read_task(touch(normals(tmp_path), "test/bad/crack/1.png", "test/bad/mask_defect/1.png"))
    assert [image.kind for image in task.splits["test"]] == [None, "crack", "mask_defect"] and not masks_of(task)


@pytest.mark.parametrize("mask", ["7_GT", "7 mask", "mask_7", "7.mask", "7_binary_mask", "7_groundtruth", "7_mask_1"])
def test_masks_beside_their_images_are_recognised_by_any_common_name(tmp_path, mask):
    task = read_task(touch(normals(tmp_path), "test/bad/7.png", f"test/bad/{mask}.png"))
    assert masks_of(task) == {"test/bad/7.png": f"test/bad/{mask}.png"} and task.warnings == []


def test_images_that_differ_by_their_suffix_alone_are_warned_about(tmp_path):
    task = read_task(touch(normals(tmp_path), "test/bad/7.jpg", "test/bad/7.png"))
    assert "2 images in 'bad'" in task.warnings[0] and "if one is a mask, move it" in task.warnings[0]


def test_kinds_of_mvtec_pair_across_unicode_forms(tmp_path):
    image, mask = f"test/{COMPOSED}/1.png", f"ground_truth/{DECOMPOSED}/1_mask.png"
    assert masks_of(read_task(touch(normals(tmp_path), image, mask))) == {image: mask}


def test_a_file_below_images_with_the_name_of_a_listed_one_is_counted(tmp_path):
    listing = {"train": {"0": ["1.png"]}, "test": {"0": ["2.png"], "1": ["3.png"]}}
    touch(tmp_path, *(f"images/{name}.png" for name in ("1", "2", "3", "masks/3")))
    (tmp_path / "data.json").write_text(json.dumps(listing))
    assert left_out(read_task(tmp_path)) == [("images/masks/3.png", 1)]


def test_files_beside_the_folder_of_images_are_counted_and_named(tmp_path):
    task = read_task(touch(normals(tmp_path), "test/bad/img/1.png", "test/bad/2.png", "test/bad/overlay/1.png"))
    assert len(task.splits["test"]) == 2 and left_out(task) == [("test/bad", 2)]
    assert "first: 2.png (beside the folder that holds the images)" in task.warnings[0]


@pytest.mark.parametrize(
    "place",
    [
        "ground_truth/bad/7_mask.png",
        "masks/7.png",
        "mask/bad/7.png",
        "label/7.tif",
        "test/ground_truth/bad/7.png",
        "annotation/test/bad/7_seg.png",
    ],
)
def test_masks_beside_or_in_test_find_their_images(tmp_path, place):
    task = read_task(touch(normals(tmp_path), "test/bad/7.jpg", place))
    assert masks_of(task) == {"test/bad/7.jpg": place} and task.warnings == []


def test_a_second_folder_of_masks_is_counted_and_named(tmp_path):
    task = read_task(touch(normals(tmp_path), "test/bad/7.png", "ground_truth/bad/7_mask.png", "masks/7.png"))
    assert masks_of(task) == {"test/bad/7.png": "ground_truth/bad/7_mask.png"}
    assert left_out(task) == [("masks/7.png", 1)]
    assert "a second mask of an image; that in ground_truth/bad is used" in task.warnings[0]


def test_two_masks_for_one_image_in_one_folder_are_an_error(tmp_path):
    touch(normals(tmp_path), "test/bad/7.png", "test/mask/7.png", "test/mask/7_mask.png")
    with pytest.raises(LayoutError, match=r"7\.png' has two masks"):
        read_task(tmp_path)


def test_a_stray_mask_inside_a_class_folder_or_beside_test_is_an_error(tmp_path):
    for name, place in (("a", "test/bad/masks/9.png"), ("b", "ground_truth/bad/9_mask.png")):
        with pytest.raises(LayoutError, match=r"mask '.*9(_mask)?\.png' has no image"):
            read_task(touch(normals(tmp_path / name), "test/bad/7.png", place))


@pytest.mark.parametrize(("image", "mask"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_pair_across_unicode_forms(tmp_path, image, mask):
    task = read_task(touch(normals(tmp_path / "a"), f"test/bad/{image}.png", f"test/mask/{mask}_mask.png"))
    assert len(masks_of(task)) == 1
    (tmp_path / "a/groups.csv").write_text(f"file,group\ntest/bad/{mask}.png,p\n", encoding="utf-8")
    assert read_task(tmp_path / "a").groups == {f"test/bad/{image}.png": "p"}
    listing = {"train": {"0": ["1.png"]}, "test": {"0": ["2.png"], "1": [f"{mask}.png"]}}
    touch(tmp_path / "b", "images/1.png", "images/2.png", f"images/{image}.png")
    (tmp_path / "b/data.json").write_text(json.dumps(listing))
    assert read_task(tmp_path / "b").splits["test"][1].path.name == f"{image}.png"


def test_a_name_of_the_same_form_goes_first_where_both_forms_are_there(tmp_path):
    touch(normals(tmp_path), f"test/bad/{COMPOSED}.png", f"test/bad/{DECOMPOSED}.png", f"test/mask/{DECOMPOSED}.png")
    assert masks_of(read_task(tmp_path)) == {f"test/bad/{DECOMPOSED}.png": f"test/mask/{DECOMPOSED}.png"}


def test_masks_of_normal_images_must_be_empty(tmp_path):
    square = np.zeros((16, 16), np.uint8)
    for name in ("train/good/img/1.png", "test/good/img/1.png", "test/bad/img/1.png", "test/good/label/1.png"):
        touch(tmp_path / "T", name)
        Image.fromarray(square + len(name)).save(tmp_path / "T" / name)
    for value, findings in ((0, 0), (9, 1)):
        Image.fromarray(square + value).save(tmp_path / "T/test/good/label/1.png")
        messages = [problem.message for problem in open_benchmark(tmp_path)["T"].check()]
        assert sum("yet its image counts as normal" in message for message in messages) == findings


@pytest.mark.parametrize("mask", ["7_mask.png", "7_seg.tif", "7_Mask.png"])
def test_masks_beside_their_images_are_no_images(tmp_path, mask):
    task = read_task(touch(normals(tmp_path), "test/bad/7.png", "test/bad/8_mask.png", f"test/bad/{mask}"))
    assert masks_of(task) == {"test/bad/7.png": f"test/bad/{mask}"}
    assert [image.path.name for image in task.splits["test"]] == ["1.png", "7.png", "8_mask.png"]


def test_a_mask_may_keep_the_suffix_of_its_image(tmp_path):
    task = read_task(touch(normals(tmp_path), "test/bad/7.jpg", "test/mask/7.jpg.png"))
    assert masks_of(task) == {"test/bad/7.jpg": "test/mask/7.jpg.png"}


def test_masks_in_a_folder_without_labels_are_reported_and_taken_like_the_others(tmp_path):
    touch(tmp_path, "bad/1.png", "mask/1.png", "bad/2.png", "bad/2_mask.png", "bad/3_mask.png")
    with pytest.warns(DataWarning, match=r"2 of 5 images seem to be masks, first: bad/2_mask.png; they are taken for"):
        assert len(open_folder(tmp_path)) == 5


def test_a_folder_of_masks_within_a_folder_of_masks_makes_no_kind_of_that_name(tmp_path):
    touch(normals(tmp_path), "test/bad/1.png", "test/masks/1.png", "ground_truth/masks/notes.txt")
    task = read_task(tmp_path)
    assert masks_of(task) == {"test/bad/1.png": "test/masks/1.png"} and left_out(task) == [
        ("ground_truth/masks/notes.txt", 1)
    ]
