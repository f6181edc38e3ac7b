"""Each public source, on a small folder of its layout: what is found, kept and left out, and why."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import sources
from PIL import Image

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.convert.aptos import plan_aptos
from d24fad_lite.data.convert.brain import plan_brain
from d24fad_lite.data.convert.camelyon import plan_camelyon
from d24fad_lite.data.convert.converting import Conversion, convert
from d24fad_lite.data.convert.lag import plan_lag
from d24fad_lite.data.convert.records import Plan, SourceError
from d24fad_lite.data.convert.rsna import box_mask, plan_rsna
from d24fad_lite.data.images import load_image, read_mask


def run(plan: Plan, out: Path, **options: object) -> Conversion:
    return convert(plan, out, progress=False, **options)


def counts(done: Conversion) -> dict[str, tuple]:
    """Source class -> published, found, train, valid, test, reasons."""
    return {row.source_class: (row.published, row.found, row.train, row.valid, row.test, row.why) for row in done.table}


def left_out(done: Conversion) -> dict[str, tuple[str, str]]:
    with (done.out / "left_out.csv").open(encoding="utf-8") as stream:
        return {row["source"]: (row["why"], row["detail"]) for row in csv.DictReader(stream)}


def manifest(done: Conversion) -> dict:
    return json.loads((done.out / "MANIFEST.json").read_text(encoding="utf-8"))


# --- RSNA ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rsna(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Conversion]:
    folder = tmp_path_factory.mktemp("rsna")
    source = sources.rsna(folder / "source")
    return source, run(plan_rsna(source), folder / "RSNA", test_fraction=0.3)


def test_rsna_is_normal_against_opacity_and_the_middle_class_is_left_out_by_name(rsna):
    _, done = rsna
    middle = "not normal, without opacity (--include-not-normal takes it)"
    assert counts(done) == {
        "Normal": (8851, 10, 7, 0, 3, {}),
        "No Lung Opacity / Not Normal": (11821, 3, 0, 0, 0, {middle: 3}),
        "Lung Opacity": (6012, 3, 0, 0, 2, {"cannot be read": 1, "file is missing": 1}),
        "(not in the table)": (None, 1, 0, 0, 0, {"no row in stage_2_detailed_class_info.csv": 1}),
    }
    assert left_out(done)["stage_2_train_images/m1.dcm"][0] == middle
    assert any("'No Lung Opacity / Not Normal' is left out" in note for note in done.notes)


def test_rsna_names_a_missing_and_a_damaged_file_and_one_that_no_table_knows(rsna):
    _, done = rsna
    assert {Path(image.name).stem for image in done.problems} == {"missing", "o2", "stranger"}
    assert left_out(done)["stage_2_train_images/missing.dcm"] == (
        "file is missing",
        "no missing.dcm in stage_2_train_images",
    )


def test_rsna_opens_as_a_task_whose_files_are_the_source_files_byte_for_byte(rsna):
    source, done = rsna
    task = open_benchmark(done.out)["RSNA"]
    assert (len(task.train), len(task.test), int(task.test.labels.sum())) == (7, 5, 2)
    for path in (*task.train.paths, *task.test.paths):
        assert path.read_bytes() == (source / "stage_2_train_images" / path.name).read_bytes()
    assert set(task.train.groups) | set(task.test.groups) == {f"n{i}" for i in range(10)} | {"o0", "o1"}


def test_rsna_boxes_become_one_mask_cut_at_the_edge(rsna):
    _, done = rsna
    mask = read_mask(done.out / "test/mask/o0.png")
    expected = np.zeros((48, 48), bool)
    expected[6:18, 4:14] = expected[20:48, 30:40] = True
    assert (mask == expected).all()
    assert read_mask(done.out / "test/mask/o1.png").sum() == 12
    assert any("repeats 1 box(es)" in note for note in done.notes)
    assert any("18 rows for 17 patients" in note for note in done.notes)


def test_rsna_monochrome1_is_said_and_read_the_right_way_round(rsna):
    _, done = rsna
    assert any(note.startswith("1 file(s): stored as MONOCHROME1") for note in done.notes)
    shown = load_image(done.out / "test/bad/o1.DCM", 48)[0].numpy() * 255
    assert np.abs(shown - sources.picture("o1")).max() < 1


def test_rsna_takes_the_middle_class_when_told_to_and_as_a_kind_of_its_own(tmp_path):
    done = run(plan_rsna(sources.rsna(tmp_path / "s"), include_not_normal=True), tmp_path / "RSNA")
    assert counts(done)["No Lung Opacity / Not Normal"][4] == 3
    task = open_benchmark(done.out)["RSNA"]
    assert sorted(kind for kind in task.test.kinds if kind) == ["lung_opacity"] * 2 + ["not_normal"] * 3


def test_rsna_class_and_boxes_that_disagree_leave_the_image_out(tmp_path):
    source = sources.rsna(tmp_path / "s")
    table = source / "stage_2_train_labels.csv"
    table.write_text(table.read_text().replace("n0,,,,,0", "n0,1,1,5,5,1").replace("n1,,,,,0\n", ""))
    reasons = left_out(run(plan_rsna(source), tmp_path / "RSNA"))
    assert reasons["stage_2_train_images/n0.dcm"] == ("class and boxes disagree", "Normal, with 1 box(es)")
    assert reasons["stage_2_train_images/n1.dcm"][0] == "no row in stage_2_train_labels.csv"


def test_rsna_a_box_without_a_size_is_named_with_its_line(tmp_path):
    source = sources.rsna(tmp_path / "s")
    table = source / "stage_2_train_labels.csv"
    table.write_text(table.read_text().replace("n0,,,,,0", "n0,1,1,,5,1"))
    with pytest.raises(SourceError, match=r"labels.csv', line 2: Target must be 0, or 1 with x, y, width and height"):
        plan_rsna(source)


def test_a_box_outside_its_image_marks_nothing():
    assert not box_mask([(-20, -20, 5, 5), (50, 60, 5, 5)], 48, 48).any()


# --- LAG and APTOS ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["", "LAG_database_part_1"])
def test_lag_takes_the_images_and_not_the_attention_maps(tmp_path, inner):
    source = sources.lag(tmp_path / "source")
    done = run(plan_lag(source / inner), tmp_path / "LAG", test_fraction=0.5)
    found = counts(done)
    assert found["non_glaucoma"][:2] == (6882, 8) and found["suspicious_glaucoma"][:2] == (4878, 3)
    assert found["suspicious_glaucoma"][4] == 3 and not open_benchmark(done.out)["LAG"].has_masks
    notes = "\n".join(done.notes)
    assert "so they are no masks" in notes and "no images and were not used, first: Thumbs.db" in notes
    assert not (done.out / "groups.csv").exists() and "not published" in manifest(done)["patients"]


def test_a_photograph_saved_again_is_reported_where_its_copy_stands_on_the_other_side(tmp_path):
    done = run(plan_lag(sources.lag(tmp_path / "source")), tmp_path / "LAG", test_fraction=0.5)
    assert done.copies and manifest(done)["near_copies"] == len(done.copies)
    copies = {f"000{index}.jpg" for index in range(3, 8)}
    for first, second in done.copies:
        assert first.startswith("train/good/") and second.startswith("test/good/")
        assert {Path(first).name, Path(second).name} <= copies


def test_aptos_reads_grades_however_they_are_written_and_makes_kinds_of_them(tmp_path):
    done = run(plan_aptos(sources.aptos(tmp_path / "source")), tmp_path / "APTOS")
    found = counts(done)
    twins = "same image with another label"
    assert found["0 no retinopathy"] == (1805, 7, 5, 0, 1, {"file is missing": 1, twins: 1})
    assert found["3 severe"] == (193, 2, 0, 0, 1, {twins: 1})
    assert found["(not in the table)"][5] == {"no row in train.csv": 1}
    assert {image.name for image in done.problems} == {"gone", "train_images/same_a.png", "train_images/same_b.png"}
    assert left_out(done)["train_images/same_a.png"][1] == "equal content: train_images/same_b.png"
    kinds = {kind for kind in open_benchmark(done.out)["APTOS"].test.kinds if kind}
    assert kinds == {"mild", "moderate", "severe", "proliferative"}
    notes = "\n".join(done.notes)
    assert "train_images/good2.png has 2 equal rows" in notes and "not looked at in 'source': test_images" in notes


# --- brain MRI -------------------------------------------------------------------------------------------------------


def test_brain_keeps_the_published_split_and_an_image_of_both_sides_in_test_alone(tmp_path):
    done = run(plan_brain(sources.brain(tmp_path / "source")), tmp_path / "BrainTumor")
    found = counts(done)
    assert found["Training/notumor"] == (1595, 6, 5, 0, 0, {"same image in another split": 1})
    assert found["Testing/notumor"] == (405, 4, 0, 0, 4, {})
    assert left_out(done)["Training/notumor/Tr-no_0000.jpg"] == (
        "same image in another split",
        "equal content: Testing/notumor/Te-no_0099.jpg, which is kept in test",
    )
    assert found["Testing/pituitary"][5] == {"pituitary tumour (--include-pituitary takes it)": 2}
    assert found["Training/glioma"][5] == {"tumour in Training (--split new takes it for test)": 2}
    task = open_benchmark(done.out)["BrainTumor"]
    assert sorted(kind for kind in task.test.kinds if kind) == ["glioma"] * 2 + ["meningioma"] * 2
    assert not done.problems


def test_brain_split_anew_has_every_tumour_in_test_and_no_image_twice(tmp_path):
    plan = plan_brain(sources.brain(tmp_path / "source"), split="new", include_pituitary=True)
    done = run(plan, tmp_path / "BrainTumor", seed=3)
    task = open_benchmark(done.out)["BrainTumor"]
    hashes = task.train.hashes() + task.test.hashes()
    assert len(set(hashes)) == len(hashes) == 9 + 12
    assert {kind for kind in task.test.kinds if kind} == {"glioma", "meningioma", "pituitary"}
    assert manifest(done)["command"] == (
        "d24fad convert brats-kaggle SOURCE OUT --split new --include-pituitary --seed 3 --test-fraction 0.2"
    )


def test_a_normal_image_that_is_also_among_the_unused_tumours_is_not_normal(tmp_path):
    source = sources.brain(tmp_path / "source")
    shutil.copy(source / "Training/pituitary/Tr-pi_0001.jpg", source / "Testing/notumor/Te-no_0050.jpg")
    done = run(plan_brain(source), tmp_path / "BrainTumor")
    assert [(image.name, image.detail) for image in done.problems] == [
        ("Testing/notumor/Te-no_0050.jpg", "equal content: Training/pituitary/Tr-pi_0001.jpg")
    ]


# --- Camelyon16 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", ["label", "anomaly_mask"])
def test_camelyon_has_masks_under_either_name_and_patients_from_file_names(tmp_path, masks):
    done = run(plan_camelyon(sources.camelyon(tmp_path / "source", masks=masks)), tmp_path / "HIS")
    assert counts(done) == {
        "train/good": (None, 9, 8, 0, 0, {"patient in another split": 1}),
        "valid/good": (None, 2, 0, 2, 0, {}),
        "valid/Ungood": (None, 2, 0, 2, 0, {}),
        "test/good": (None, 3, 0, 0, 3, {}),
        "test/Ungood": (None, 3, 0, 0, 2, {"mask is missing": 1}),
    }
    task = open_benchmark(done.out)["HIS"]
    assert len(task.valid) == 4 and int(task.test.masks(48).sum()) == 2 * 6 * 7
    assert set(task.train.groups) == {"p0", "p1", "p2", "p3"}
    assert left_out(done)["train/good/p9_900.png"] == ("patient in another split", "patient p9 is also in test")
    assert manifest(done)["groups"] == {"train": 4, "valid": 2, "test": 3}


def test_camelyon_split_anew_divides_no_patient(tmp_path):
    plan = plan_camelyon(sources.camelyon(tmp_path / "source"), split="patients")
    done = run(plan, tmp_path / "HIS", test_fraction=0.4)
    task = open_benchmark(done.out)["HIS"]
    assert not set(task.train.groups) & set(task.test.groups) and task.valid is None
    assert {"p20", "p21", "p30", "p31"} <= set(task.test.groups)
    assert sum(row.kept for row in done.table) == 18


def test_camelyon_without_inner_folders_has_no_masks(tmp_path):
    source = sources.camelyon(tmp_path / "source")
    for split in ("valid", "test"):
        for name in ("good", "Ungood"):
            for path in (source / split / name / "img").iterdir():
                path.rename(source / split / name / path.name)
            (source / split / name / "img").rmdir()
        for path in (source / split / "Ungood/label").iterdir():
            path.unlink()
        (source / split / "Ungood/label").rmdir()
    done = run(plan_camelyon(source), tmp_path / "HIS")
    assert not open_benchmark(done.out)["HIS"].has_masks and not done.problems


# --- folders that are no such source ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (plan_rsna, "has no folder stage_2_train_images"),
        (plan_lag, "has no folder non_glaucoma/image"),
        (plan_aptos, "image folder '.*train_images' does not exist"),
        (plan_brain, "has no folder Training"),
        (plan_camelyon, "has no folder train"),
    ],
)
def test_another_folder_is_named_with_what_was_expected(tmp_path, plan, message):
    save_elsewhere = tmp_path / "other/readme.txt"
    save_elsewhere.parent.mkdir()
    save_elsewhere.write_text("x")
    with pytest.raises(SourceError, match=message):
        plan(tmp_path / "other")
    with pytest.raises(SourceError, match="does not exist; expected a folder with"):
        plan(tmp_path / "nowhere")


def test_masks_are_stored_as_png_whatever_they_were(tmp_path):
    source = sources.camelyon(tmp_path / "source")
    mask = source / "test/Ungood/label/p30_2.png"
    Image.open(mask).save(mask.with_suffix(".jpg"), quality=60)
    mask.unlink()
    done = run(plan_camelyon(source), tmp_path / "HIS")
    assert set(np.unique(np.asarray(Image.open(done.out / "test/mask/p30_2.png")))) == {0, 255}
