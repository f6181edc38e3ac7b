"""Folders as data sets publish them and as people make them: opened as they are, and what is not used is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from layout_files import left_out, masks_of, normals, touch

from d24fad_lite.data.benchmark import open_benchmark, open_folder
from d24fad_lite.data.layouts import read_task
from d24fad_lite.data.layouts.folder_walk import list_images
from d24fad_lite.data.layouts.left_out import DataWarning
from d24fad_lite.data.layouts.task_files import LayoutError

# --- published layouts ------------------------------------------------------------------------------------------------


def test_mvtec_opens_as_it_is(tmp_path):
    touch(
        normals(tmp_path),
        "test/crack/000.png",
        "test/hole/000.png",
        "ground_truth/crack/000_mask.png",
        "ground_truth/hole/000_mask.png",
        "license.txt",
        "readme.txt",
    )
    task = read_task(tmp_path)
    assert [image.kind for image in task.splits["test"]] == [None, "crack", "hole"] and task.warnings == []
    assert masks_of(task) == {f"test/{kind}/000.png": f"ground_truth/{kind}/000_mask.png" for kind in ("crack", "hole")}


def test_a_folder_of_which_ground_truth_knows_nothing_is_no_kind(tmp_path):
    touch(normals(tmp_path), "test/crack/000.png", "ground_truth/crack/000_mask.png", "test/extra/5.png")
    assert left_out(read_task(tmp_path)) == [("test/extra", 1)]


def univad(folder: Path, prefix: str = "") -> dict:
    """A task of that form, without ground truth for one image; returns its listing."""
    touch(
        folder,
        "train/good/1.png",
        "train/good/2.png",
        "test/good/3.png",
        "test/Ungood/4.png",
        "test/Ungood/5.png",
        "ground_truth/Ungood/4.png",
        "test/good/unlisted.png",
    )

    def entry(path: str, anomaly: int = 0, mask: str = "") -> dict:
        return {
            "img_path": prefix + path,
            "mask_path": mask and prefix + mask,
            "cls_name": "T",
            "specie_name": path.split("/")[1],
            "anomaly": anomaly,
        }

    return {
        "train": {"T": [entry("train/good/2.png"), entry("train/good/1.png")]},
        "test": {
            "T": [
                entry("test/good/3.png"),
                entry("test/Ungood/4.png", 1, "ground_truth/Ungood/4.png"),
                entry("test/Ungood/5.png", 1),
            ]
        },
    }


@pytest.mark.parametrize("above", [False, True])
def test_a_meta_json_in_the_task_or_above_it_is_believed_and_unlisted_files_are_named(tmp_path, above):
    listing = univad(tmp_path / "T", "T/" if above else "")
    (tmp_path / ("" if above else "T") / "meta.json").write_text(json.dumps(listing))
    with pytest.warns(DataWarning, match=r"test/good/unlisted.png \(not listed in meta.json\)") as said:
        bench = open_benchmark(tmp_path)
    task = bench["T"]
    assert task.layout == "meta.json" and task.train.names == ["train/good/1.png", "train/good/2.png"]
    assert task.test.labels.tolist() == [0, 1, 1] and task.test.kinds == [None, "Ungood", "Ungood"]
    assert [path and path.name for path in task.test.mask_paths] == [None, "4.png", None]
    assert sum("ignored" in str(warning.message) for warning in said) == 1


def test_a_meta_json_that_names_a_missing_file_or_an_odd_label_is_an_error(tmp_path):
    listing = univad(tmp_path)
    for name, anomaly, message in (("test/good/99.png", 0, "does not exist"), ("test/good/3.png", 7, "has anomaly 7")):
        listing["test"]["T"][0] |= {"img_path": name, "anomaly": anomaly}
        (tmp_path / "meta.json").write_text(json.dumps(listing))
        with pytest.raises(LayoutError, match=message):
            read_task(tmp_path)


def test_a_meta_json_of_another_form_is_named_and_the_folders_are_read(tmp_path):
    (touch(normals(tmp_path), "test/bad/1.png") / "meta.json").write_text('{"device": "scanner"}')
    task = read_task(tmp_path)
    assert task.layout == "folders" and left_out(task) == [("meta.json", 1)]


@pytest.mark.parametrize("mask", ["label", "anomaly_mask"])
def test_bmad_opens_with_either_name_of_its_masks(tmp_path, mask):
    touch(
        tmp_path,
        "train/good/img/1.png",
        "test/good/img/4.png",
        f"test/good/{mask}/4.png",
        "test/Ungood/img/5.png",
        f"test/Ungood/{mask}/5.png",
        f"valid/Ungood/{mask}/3.png",
        "valid/Ungood/img/3.png",
    )
    task = read_task(tmp_path)
    assert masks_of(task) == {"test/Ungood/img/5.png": f"test/Ungood/{mask}/5.png"} and task.warnings == []
    assert [(a.name, b.parent.name) for a, b in task.normal_masks] == [("4.png", mask)]
    assert task.splits["valid"][0].mask is not None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_data_json_opens_with_and_without_a_byte_order_mark_and_what_it_leaves_out_is_counted(tmp_path, encoding):
    touch(tmp_path, *(f"images/{i}.png" for i in range(7)), "masks/3.png")
    listing = {
        "train": {"0": ["0.png"], "unlabeled": {"0": ["1.png"], "1": ["2.png"]}},
        "test": {"0": ["4.png"], "1": ["3.png"]},
    }
    (tmp_path / "data.json").write_text(json.dumps(listing), encoding=encoding)
    task = read_task(tmp_path)
    assert masks_of(task) == {"images/3.png": "masks/3.png"}
    assert left_out(task) == [("data.json", 2), ("images", 2)]
    assert "first: 1.png (train lists them as 'unlabeled'" in task.warnings[0]
    assert "first: 5.png (not listed in data.json)" in task.warnings[0]


def test_brats_of_medianomaly_opens_as_it_is(tmp_path):
    touch(
        tmp_path,
        "train/BraTS_1_flair_60.png",
        "test/normal/BraTS_2_flair_60.png",
        "test/tumor/BraTS_3_flair_60.png",
        "test/annotation/BraTS_3_seg_60.png",
    )
    task = read_task(tmp_path)
    assert [image.path.name for image in task.splits["train"]] == ["BraTS_1_flair_60.png"]
    assert masks_of(task) == {"test/tumor/BraTS_3_flair_60.png": "test/annotation/BraTS_3_seg_60.png"}
    assert task.warnings == []


def isic(root: Path, rows: str = "a,0.0,1.0\nb,1.0,0.0\n") -> Path:
    for split in ("Training", "Test"):
        stem = f"ISIC2018_Task3_{split}"
        touch(
            root,
            f"{stem}_Input/a.jpg",
            f"{stem}_Input/b.jpg",
            f"{stem}_Input/LICENSE.txt",
            f"{stem}_GroundTruth/{stem}_GroundTruth.csv",
        )
        (root / f"{stem}_GroundTruth/{stem}_GroundTruth.csv").write_text("image,MEL,NV\n" + rows)
    return root


def test_isic_opens_by_its_tables_naevi_are_normal(tmp_path):
    bench = open_benchmark(isic(tmp_path / "ISIC2018_Task3"))
    task = bench["ISIC2018_Task3"]
    assert [path.name for path in task.train] == ["a.jpg"] and task.test.labels.tolist() == [0, 1]
    assert task.test.kinds == [None, "MEL"]
    assert [(item.count, item.first) for item in task.left_out] == [(1, "b.jpg")]
    assert "training sees normal images only, those with NV = 1" in task.warnings[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [("c,0,1\n", "image 'c' is not in"), ("a,x,1\n", "expected 0 or 1"), ("a,0,0\n", "has no class with 1")],
)
def test_a_faulty_table_of_isic_is_an_error_with_its_line(tmp_path, rows, message):
    with pytest.raises(LayoutError, match=f"line 2: .*{message}"):
        read_task(isic(tmp_path, rows))


# --- what people do ---------------------------------------------------------------------------------------------------


def test_two_spellings_of_one_folder_are_read_as_one(tmp_path):
    names = [
        "train/good/1.png",
        "train/Normal/2.png",
        "Train/good/3.png",
        "test/normal/1.png",
        "test/Good/2.png",
        "test/bad/1.png",
        "test/ungood/2.png",
        "test/Abnormal/images/3.png",
        "test/Abnormal/img/4.png",
        "test/mask/1.png",
        "test/Masks/2.png",
        "masks/3.png",
        "ground_truth/Abnormal/4_mask.png",
    ]
    task = read_task(touch(tmp_path, *names))
    assert [len(task.splits[split]) for split in ("train", "test")] == [3, 6] and task.warnings == []
    assert len(masks_of(task)) == 4


@pytest.mark.parametrize("name", ["val", "validation", "Valid"])
def test_a_validation_split_has_several_names(tmp_path, name):
    assert len(read_task(touch(normals(tmp_path), f"{name}/good/1.png")).splits["valid"]) == 1


def test_whatever_lies_beside_the_splits_is_counted_and_named(tmp_path):
    touch(
        normals(tmp_path),
        "test/bad/1.png",
        "extra/a/1.png",
        "extra/2.png",
        "loose.png",
        "labels.csv",
        "data.json",
        ".stash/1.png",
        "notes.md",
        ".gitattributes",
        "test/list.txt",
        "train/.x.png",
    )
    task = read_task(tmp_path)
    assert sorted(left_out(task)) == [
        (".stash", 1),
        ("data.json", 1),
        ("extra", 2),
        ("labels.csv", 1),
        ("loose.png", 1),
        ("test/list.txt", 1),
        ("train/.x.png", 1),
    ]
    assert "8 file(s) ignored" in task.warnings[0]


def test_what_lies_beside_the_tasks_is_counted_and_named(tmp_path):
    touch(normals(tmp_path / "A"), "test/bad/1.png")
    touch(tmp_path, "weights/a.bin", "weights/b.bin", "scan.png", "table.csv", "README.md", ".gitignore")
    with pytest.warns(DataWarning, match="4 file.s. ignored: 2 file.s. in weights, first: a.bin"):
        bench = open_benchmark(tmp_path)
    assert [(item.path.name, item.count) for item in bench.left_out] == [
        ("weights", 2),
        ("scan.png", 1),
        ("table.csv", 1),
    ]
    assert bench.without("A").left_out == bench.left_out


def test_empty_folders_and_links_read_before_are_named(tmp_path):
    touch(normals(tmp_path), "test/bad/a/1.png")
    (tmp_path / "test/bad/b").mkdir()
    (tmp_path / "test/bad/c").symlink_to(tmp_path / "test/bad/a", target_is_directory=True)
    task = read_task(tmp_path)
    assert len(task.splits["test"]) == 2
    assert {item.why for item in task.left_out} == {"an empty folder", "a link to a folder that is read already"}


def test_a_link_that_leads_out_of_the_folder_is_followed(tmp_path):
    touch(tmp_path / "elsewhere", "1.png", "2.png")
    touch(tmp_path / "T", "train/good/1.png", "test/good/1.png")
    (tmp_path / "T/test/bad").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(read_task(tmp_path / "T").splits["test"]) == 3


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    touch(normals(tmp_path), "test/bad/a/1.png", "test/bad/closed/2.png")
    scan = os.scandir

    def denied(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert [(item.path.name, item.why) for item in read_task(tmp_path).left_out] == [
        ("closed", "cannot be opened: Permission denied")
    ]


def test_a_dicom_file_is_an_image_whatever_its_name(tmp_path):
    for name in ("IM0001", "1.2.840.5", "scan.IMA", "scan.dicom"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    touch(tmp_path, "IM0002", "notes.txt")
    assert len(list_images(tmp_path)) == 4
    with pytest.warns(DataWarning, match="2 file.s. ignored"):
        assert [item.count for item in open_folder(tmp_path).left_out] == [2]


def test_the_task_says_what_is_left_out_of_it(tmp_path):
    touch(normals(tmp_path / "T"), "test/bad/1.png", "test/bad/scan.webp", "test/other/1.png")
    with pytest.warns(DataWarning) as said:
        bench = open_benchmark(tmp_path)
    task = bench["T"]
    assert [str(warning.message) for warning in said] == task.warnings and len(task.warnings) == 1
    assert task.warnings[0].startswith("task 'T': 2 file(s) ignored: test/bad/scan.webp (no PNG, JPEG, BMP, TIFF or")
    assert bench.left_out == task.left_out and sum(item.count for item in bench.left_out) == 2


def test_a_broken_meta_json_beside_the_tasks_is_named_and_in_a_task_an_error(tmp_path):
    touch(normals(tmp_path / "T"), "test/bad/1.png")
    (tmp_path / "meta.json").write_text("{")
    with pytest.warns(DataWarning, match=r"1 file.s. ignored: meta.json \(a file beside the tasks\)"):
        assert list(open_benchmark(tmp_path)) == ["T"]
    (tmp_path / "T/meta.json").write_text("{")
    with pytest.raises(LayoutError, match="not readable as JSON .*correct it or use folders"):
        open_benchmark(tmp_path)


def test_a_split_of_isic_without_table_is_named(tmp_path):
    touch(isic(tmp_path), "ISIC2018_Task3_Validation_Input/c.jpg")
    assert ("ISIC2018_Task3_Validation_Input", 1) in left_out(read_task(tmp_path))
