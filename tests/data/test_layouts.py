"""The three layouts on disk, found by names alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d24fad_lite.data import layouts
from d24fad_lite.data.layouts import read_task
from d24fad_lite.data.layouts.folder_walk import list_images
from d24fad_lite.data.layouts.task_files import LabelledImage, LayoutError, TaskFiles
from d24fad_lite.data.names import natural_key


def touch(root: Path, *names: str) -> None:
    """Empty files: finding images must not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names_of(task, split: str) -> list[tuple[str, int]]:
    return [(image.path.relative_to(task.folder).as_posix(), image.label) for image in task.splits[split]]


def ours(root: Path) -> Path:
    touch(root, "train/good/1.png", "test/good/1.png", "test/bad/1.png")
    return root


@pytest.mark.parametrize("good", ["good", "normal", "Good", "NORMAL"])
@pytest.mark.parametrize("bad", ["bad", "ungood", "abnormal", "anomaly", "Ungood", "Bad"])
def test_class_folders_are_matched_whole_and_without_case(tmp_path, good, bad):
    touch(tmp_path, f"train/{good}/a.png", f"test/{good}/b.png", f"test/{bad}/c.png")
    task = read_task(tmp_path)
    assert names_of(task, "train") == [(f"train/{good}/a.png", 0)]
    assert names_of(task, "test") == [(f"test/{good}/b.png", 0), (f"test/{bad}/c.png", 1)]


def test_a_name_that_only_contains_good_is_no_class(tmp_path):
    touch(ours(tmp_path), "test/goodish/x.png")
    task = read_task(tmp_path)
    assert len(task.splits["test"]) == 2
    assert any("1 file(s) in test/goodish, first: x.png" in warning for warning in task.warnings)


def test_labels_come_from_the_class_folder_and_not_from_the_path_above_it(tmp_path):
    root = ours(tmp_path / "bad" / "anomaly_good")
    assert [label for _, label in names_of(read_task(root), "test")] == [0, 1]


def test_kinds_are_subfolders_of_bad(tmp_path):
    touch(ours(tmp_path), "test/bad/glioma/1.png", "test/bad/meningioma/7.png")
    kinds = {image.path.name + str(image.kind) for image in read_task(tmp_path).splits["test"] if image.label}
    assert kinds == {"1.pngNone", "1.pngglioma", "7.pngmeningioma"}


def test_masks_are_paired_by_kind_and_stem(tmp_path):
    touch(tmp_path, "train/good/1.png", "test/good/1.png", "test/bad/a/1.jpg", "test/bad/b/1.jpg")
    touch(tmp_path, "test/mask/a/1.png", "test/mask/b/1.png")
    bad = [image for image in read_task(tmp_path).splits["test"] if image.label]
    assert [image.mask.relative_to(tmp_path).as_posix() for image in bad] == ["test/mask/a/1.png", "test/mask/b/1.png"]


def test_a_flat_mask_folder_serves_images_in_kinds(tmp_path):
    touch(tmp_path, "train/good/1.png", "test/good/1.png", "test/bad/a/5.tif", "test/mask/5.png")
    assert read_task(tmp_path).splits["test"][1].mask == tmp_path / "test/mask/5.png"


def test_a_flat_mask_that_fits_two_images_is_an_error(tmp_path):
    touch(tmp_path, "train/good/1.png", "test/good/1.png", "test/bad/a/5.png", "test/bad/b/5.png", "test/mask/5.png")
    with pytest.raises(LayoutError, match=r"5\.png' fits 2 images"):
        read_task(tmp_path)


def test_a_mask_without_image_is_an_error_that_names_it(tmp_path):
    touch(ours(tmp_path), "test/mask/1.png", "test/mask/2.png")
    with pytest.raises(LayoutError, match=r"mask '.*2\.png' has no image.*rename the mask"):
        read_task(tmp_path)


def test_a_mask_never_belongs_to_a_normal_image(tmp_path):
    touch(ours(tmp_path), "test/good/9.png", "test/mask/9.png")
    with pytest.raises(LayoutError, match=r"9\.png' has no image"):
        read_task(tmp_path)


def test_anomalous_images_without_mask_are_listed_when_others_have_one(tmp_path):
    touch(ours(tmp_path), "test/bad/2.png", "test/mask/1.png")
    assert any("1 of 2 anomalous test images" in w and "test/bad/2.png" in w for w in read_task(tmp_path).warnings)


def test_no_masks_at_all_are_no_reason_to_warn(tmp_path):
    assert read_task(ours(tmp_path)).warnings == []


@pytest.mark.parametrize("img", ["", "img/"])
def test_bmad_opens_as_it_is(tmp_path, img):
    touch(tmp_path, f"train/good/{img}1.png", f"valid/good/{img}2.png", f"valid/Ungood/{img}3.png")
    touch(tmp_path, f"test/good/{img}4.png", f"test/Ungood/{img}5.png")
    if img:
        touch(tmp_path, "valid/Ungood/label/3.png", "test/good/label/4.png", "test/Ungood/label/5.png")
    task = read_task(tmp_path)
    assert names_of(task, "train") == [(f"train/good/{img}1.png", 0)]
    assert names_of(task, "test") == [(f"test/good/{img}4.png", 0), (f"test/Ungood/{img}5.png", 1)]
    assert [label for _, label in names_of(task, "valid")] == [0, 1]
    masks = [image.mask for image in task.splits["test"]]
    assert masks == ([None, tmp_path / "test/Ungood/label/5.png"] if img else [None, None])
    assert task.warnings == []


def test_a_bmad_label_without_image_is_an_error(tmp_path):
    touch(tmp_path, "train/good/img/1.png", "test/good/img/1.png", "test/Ungood/img/5.png", "test/Ungood/label/6.png")
    with pytest.raises(LayoutError, match=r"6\.png' has no image"):
        read_task(tmp_path)


def write_listing(root: Path, listing: object) -> Path:
    (root / "data.json").write_text(json.dumps(listing))
    return root


def test_a_data_json_lists_files_by_label(tmp_path):
    touch(tmp_path, *(f"images/{i}.png" for i in range(6)))
    listing = {
        "train": {"0": ["2.png", "0.png"], "unlabeled": {"0": ["1.png"], "1": []}},
        "test": {"0": ["3.png"], "1": ["images/4.png"]},
    }
    task = read_task(write_listing(tmp_path, listing))
    assert names_of(task, "train") == [("images/0.png", 0), ("images/2.png", 0)]
    assert names_of(task, "test") == [("images/3.png", 0), ("images/4.png", 1)]
    assert any("'unlabeled'" in warning for warning in task.warnings)
    assert task.training_location.endswith("data.json")


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ({"train": {"0": ["9.png"]}, "test": {"0": ["1.png"]}}, r"lists '9\.png', but .* does not exist"),
        ({"train": {"0": ["../x.png"]}, "test": {"0": ["1.png"]}}, "leads out of the task folder"),
        ({"train": {"0": ["/etc/x.png"]}, "test": {"0": ["1.png"]}}, "leads out of the task folder"),
        ({"train": {"0": ["1.png"]}}, "has no object 'test'"),
        ([], "has no object 'train'"),
        ({"train": {"0": "1.png"}, "test": {}}, "must be a list of file names"),
        ({"train": {"0": ["1.png"]}, "test": {"0": ["1.png"]}}, "listed twice, in train and in test"),
        ({"train": {"0": []}, "test": {"0": ["1.png"]}}, "has no train images"),
    ],
)
def test_a_faulty_data_json_is_an_error(tmp_path, listing, message):
    touch(tmp_path, "images/1.png")
    with pytest.raises(LayoutError, match=message):
        read_task(write_listing(tmp_path, listing))


@pytest.mark.parametrize("text", ["{", "[" * 100_000], ids=["cut short", "nested without end"])
def test_a_data_json_that_is_no_json_is_an_error(tmp_path, text):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(LayoutError, match="not readable as JSON .*correct it or use folders"):
        read_task(tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_is_an_error(tmp_path, split):
    ours(tmp_path)
    for path in (tmp_path / split).rglob("*.png"):
        path.unlink()
    with pytest.raises(LayoutError, match=f"has no {split} images"):
        read_task(tmp_path)


def test_an_empty_task_is_an_error(tmp_path):
    with pytest.raises(LayoutError, match="empty or of no known layout; expected train/good"):
        read_task(tmp_path)


def test_images_beside_the_class_folders_are_an_error(tmp_path):
    touch(ours(tmp_path), "train/7.png")
    with pytest.raises(LayoutError, match=r"lie directly in .*7\.png; move normal ones to train/good"):
        read_task(tmp_path)


def test_anomalous_training_images_are_left_out_with_a_warning(tmp_path):
    touch(ours(tmp_path), "train/bad/x.png")
    task = read_task(tmp_path)
    assert len(task.splits["train"]) == 1 and any("training sees normal" in w for w in task.warnings)


def test_one_sided_test_sets_are_warned_about(tmp_path):
    touch(tmp_path, "train/good/1.png", "test/good/1.png")
    assert any("no anomalous test images" in warning for warning in read_task(tmp_path).warnings)


def test_what_systems_leave_behind_is_not_worth_a_word(tmp_path):
    touch(ours(tmp_path), "train/good/.DS_Store", "train/good/Thumbs.db", "train/good/._1.png", "test/.git/good/1.png")
    touch(tmp_path, "README.md", "LICENSE", "test/bad/.ipynb_checkpoints/1.png")
    task = read_task(tmp_path)
    assert task.warnings == [] and task.left_out == []


def test_hidden_files_and_files_of_other_types_are_counted_and_named_in_one_warning(tmp_path):
    touch(ours(tmp_path), "train/good/notes.txt", "train/good/b.nii", "train/good/.4.png", "test/.x/good/1.png")
    task = read_task(tmp_path)
    assert [(item.path.relative_to(tmp_path).as_posix(), item.count, item.why) for item in task.left_out] == [
        ("train/good/.4.png", 1, "hidden"),
        ("train/good", 2, "no PNG, JPEG, BMP, TIFF or DICOM"),
        ("test/.x", 1, "hidden"),
    ]
    assert len(task.warnings) == 1 and "4 file(s) ignored" in task.warnings[0]
    assert "2 file(s) in train/good, first: b.nii" in task.warnings[0]


def test_loops_of_links_end(tmp_path):
    ours(tmp_path)
    try:
        (tmp_path / "train/good/loop").symlink_to(tmp_path / "train", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not allow links")
    assert len(list_images(tmp_path / "train/good")) == 1


def test_order_is_natural(tmp_path):
    touch(tmp_path, "img10.png", "img2.png", "img1.png", "IMG3.png", "b/1.png", "a/20.png", "a/3.png")
    order = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert order == ["a/3.png", "a/20.png", "b/1.png", "img1.png", "img2.png", "IMG3.png", "img10.png"]


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), unique=True))
def test_natural_order_does_not_depend_on_the_order_of_listing(names):
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def test_groups_are_read_by_path_or_unique_file_name(tmp_path):
    touch(ours(tmp_path), "test/bad/x.png")
    (tmp_path / "groups.csv").write_text("file,group\ntrain/good/1.png,p1\nx.png,p2\nmissing.png,p3\n")
    task = read_task(tmp_path)
    assert task.groups == {"train/good/1.png": "p1", "test/bad/x.png": "p2"}
    assert any("missing.png" in w for w in task.warnings) and any("no group to 2 image(s)" in w for w in task.warnings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,patient\n", "must start with the line 'file,group'"),
        ("", "found 'nothing'"),
        ("file,group\n1.png,p\n", r"line 2: '1\.png' fits 3 images"),
        ("file,group\ntrain/good/1.png,\n", "line 2: file and group must both be given"),
        ("file,group\ntrain/good/1.png,a\ntrain/good/1.png,b\n", "line 3: .* has two groups, 'a' and 'b'"),
    ],
)
def test_a_faulty_groups_file_is_an_error_with_its_line(tmp_path, text, message):
    (ours(tmp_path) / "groups.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_task(tmp_path)


def test_a_new_layout_is_one_reader_in_the_table(tmp_path, monkeypatch):
    def read_slides(folder: Path) -> TaskFiles | None:
        if not (folder / "slides").is_dir():
            return None
        images = [LabelledImage(path, int(path.stem > "b")) for path in list_images(folder / "slides")]
        splits = {"train": images[:1], "test": images[1:]}
        return TaskFiles(folder, "slides", used_folders=[folder / "slides"], splits=splits)

    touch(tmp_path, "slides/a.png", "slides/b.png", "slides/c.png", "other/d.png")
    with pytest.raises(LayoutError, match="of no known layout"):
        read_task(tmp_path)
    monkeypatch.setattr(layouts, "READERS", (read_slides, *layouts.READERS))
    task = read_task(tmp_path)
    assert names_of(task, "test") == [("slides/b.png", 0), ("slides/c.png", 1)]
    assert [(item.path.name, item.count) for item in task.left_out] == [("other", 1)]


def test_the_table_of_layouts_names_each_reader_in_the_order_they_are_asked():
    listed = [line.split()[0] for line in layouts.__doc__.splitlines() if re.match(r"    \w+   ", line)]
    assert listed == [read.__module__.rsplit(".", 1)[1] for read in layouts.READERS]
