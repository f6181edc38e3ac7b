"""What holds for every source: whole patients, all or nothing, the same bytes again, a line for what is left out."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import sources

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.convert import converting
from d24fad_lite.data.convert.converting import convert
from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.splitting import split_by_patient


def plan_of(root: Path, *images: SourceImage) -> Plan:
    return Plan("csv", "a study", "mine", root, "given", "none", images=list(images))


def image(root: Path, name: str, label: int, seed: object = None, **facts: object) -> SourceImage:
    """A picture on disk and its record; two of one seed are equal byte for byte."""
    path = sources.save(root / name, seed or name)
    return SourceImage(name, "bad" if label else "good", path, label, **facts)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """10 healthy patients with 2 images each, 2 ill ones with a normal image and an anomalous one."""
    root = tmp_path / "source"
    healthy = [image(root, f"h{p}_{i}.png", 0, patient=f"h{p}") for p in range(10) for i in range(2)]
    ill = [image(root, f"i{p}_{i}.png", i, patient=f"i{p}") for p in range(2) for i in range(2)]
    return plan_of(root, *healthy, *ill)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def patients(plan: Plan, split: str) -> set[str | None]:
    return {image.patient for image in plan.images if image.split == split and not image.why}


# --- splits ----------------------------------------------------------------------------------------------------------


def test_patients_are_never_divided_and_the_ill_are_in_test_with_all_they_have(plan, tmp_path):
    convert(plan, tmp_path / "Task", test_fraction=0.3, progress=False)
    assert not patients(plan, "train") & patients(plan, "test")
    assert {"i0", "i1"} < patients(plan, "test")
    task = open_benchmark(tmp_path / "Task")["Task"]
    assert (len(task.train), len(task.test), int(task.test.labels.sum())) == (14, 10, 2)
    assert not task.warnings and not [problem for problem in task.check() if problem.severity == "error"]


def test_a_seed_gives_the_same_bytes_again_and_another_seed_other_patients(plan, tmp_path):
    again, other = (plan_of(plan.root, *(SourceImage(**vars(image)) for image in plan.images)) for _ in range(2))
    first = convert(plan, tmp_path / "a", seed=1, progress=False)
    assert contents(first.out) == contents(convert(again, tmp_path / "b", seed=1, progress=False).out)
    convert(other, tmp_path / "c", seed=2, progress=False)
    assert patients(plan, "train") != patients(other, "train")


def test_a_new_patient_moves_few_of_the_others():
    def test_patients(count: int) -> set[str | None]:
        images = [SourceImage(f"{i}.png", "good", Path("x"), 0, patient=f"p{i}") for i in range(count)]
        split_by_patient(images, {}, 0.2, seed=0)
        return {image.patient for image in images if image.split == "test"}

    assert len(test_patients(200)) == 40 and len(test_patients(200) - test_patients(201)) <= 1


def test_where_every_patient_is_ill_some_train_with_their_normal_images_alone(tmp_path):
    root = tmp_path / "source"
    plan = plan_of(root, *(image(root, f"{p}_{i}.png", i % 2, patient=f"p{p}") for p in range(6) for i in range(4)))
    done = convert(plan, tmp_path / "Task", test_fraction=0.5, progress=False)
    assert not patients(plan, "train") & patients(plan, "test")
    (bad,) = [row for row in done.table if row.source_class == "bad"]
    assert (bad.train, bad.test, bad.why) == (0, 6, {"anomalous image of a patient in train": 6})


def test_patients_whose_names_are_no_text_are_split_as_any_other(tmp_path):
    root = tmp_path / "source"
    strange = os.fsdecode(b"p\xff")
    plan = plan_of(
        root,
        *(image(root, f"{p}_{i}.png", 0, patient=f"{strange}{p}") for p in range(4) for i in range(2)),
        image(root, "bad.png", 1, patient=strange),
    )
    done = convert(plan, tmp_path / "Task", test_fraction=0.5, progress=False)
    assert not patients(plan, "train") & patients(plan, "test")
    assert b",p\xff" in (done.out / "groups.csv").read_bytes()


def test_equal_images_are_kept_once_and_contradicting_ones_not_at_all(tmp_path):
    root = tmp_path / "source"
    plan = plan_of(
        root,
        *(image(root, f"g{i}.png", 0) for i in range(5)),
        image(root, "twin.png", 0, "g0.png"),
        image(root, "b.png", 1),
        image(root, "liar.png", 1, "g1.png"),
    )
    done = convert(plan, tmp_path / "Task", progress=False)
    reasons = {image.name: image.why for image in plan.images if image.why}
    assert reasons == {
        "twin.png": "same image twice",
        "g1.png": "same image with another label",
        "liar.png": "same image with another label",
    }
    assert {image.name for image in done.problems} == {"g1.png", "liar.png"}


# --- all or nothing --------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_taken(plan, tmp_path):
    out = tmp_path / "Task"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="Task' already holds something; choose a new or empty folder"):
        convert(plan, out, progress=False)
    (out / "notes.txt").unlink()
    assert convert(plan, out, progress=False).out == out and (out / "MANIFEST.json").is_file()


def test_the_task_folder_is_absolute_without_dots_wherever_the_process_stands(plan, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = convert(plan, "../data/./Task", progress=False)
    assert done.out == tmp_path / "data/Task" and (done.out / "MANIFEST.json").is_file()


def test_a_link_to_an_empty_folder_has_that_folder_filled_and_stays_a_link(plan, tmp_path):
    (tmp_path / "disk/Task").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk/Task")
    done = convert(plan, tmp_path / "link", progress=False)
    assert done.out == tmp_path / "disk/Task" and (done.out / "MANIFEST.json").is_file()
    assert (tmp_path / "link").is_symlink() and [path.name for path in (tmp_path / "disk").iterdir()] == ["Task"]


def test_a_folder_that_is_filled_by_another_meanwhile_is_not_replaced(plan, tmp_path, monkeypatch):
    out, real = tmp_path / "out/Task", converting.write_records

    def beside_another(*arguments: object) -> None:
        real(*arguments)
        out.mkdir()
        (out / "notes.txt").write_text("mine")

    monkeypatch.setattr(converting, "write_records", beside_another)
    with pytest.raises(OSError, match="Task"):
        convert(plan, out, progress=False)
    assert list(contents(tmp_path / "out")) == ["Task/notes.txt"]


def test_a_place_where_nothing_can_be_written_is_named(plan, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file/Task'.* choose a folder that can be written"):
        convert(plan, tmp_path / "file/Task", progress=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left"), AttributeError("a fault")])
def test_whatever_stops_it_nothing_half_made_is_left(plan, tmp_path, monkeypatch, error):
    real, copied = converting._copy, []

    def stop(source: Path, target: Path) -> str:
        copied.append(target)
        if len(copied) > 5:
            raise error
        return real(source, target)

    monkeypatch.setattr(converting, "_copy", stop)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        convert(plan, tmp_path / "out/Task", progress=False)
    assert copied[0].exists() is False and not (tmp_path / "out").exists()


def test_a_full_disk_is_said_before_anything_is_read(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(converting.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(OSError, match="the images take 0.0 GB and .* GB free; make room"):
        convert(plan, tmp_path / "Task", progress=False)
    assert not (tmp_path / "Task").exists()


def test_a_file_that_changes_meanwhile_stops_the_conversion(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "_copy", lambda source, target: "another hash")
    with pytest.raises(OSError, match="changed while it was being converted; start again"):
        convert(plan, tmp_path / "Task", progress=False)


def test_a_source_without_one_class_is_refused_with_what_was_found(tmp_path):
    root = tmp_path / "source"
    plan = plan_of(
        root,
        *(image(root, f"{i}.png", 0) for i in range(4)),
        SourceImage("gone.png", "bad", None, 1, why="file is missing", detail="no gone.png", problem=True),
    )
    with pytest.raises(
        SourceError,
        match=r"no anomalous images for test: 5 images found, 4 usable; left out: 1 file "
        r"is missing \(first: no gone.png\)",
    ):
        convert(plan, tmp_path / "Task", progress=False)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_a_fraction_lies_between_0_and_1(plan, tmp_path, fraction):
    with pytest.raises(ValueError, match="must lie between 0 and 1, for example 0.2"):
        convert(plan, tmp_path / "Task", test_fraction=fraction, progress=False)


# --- what is written -------------------------------------------------------------------------------------------------


def test_the_manifest_has_the_hash_of_each_file_and_no_path_of_this_computer(plan, tmp_path):
    broken = plan.root / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    plan.images.append(SourceImage("broken.png", "good", broken, 0))
    done = convert(plan, tmp_path / "Task", seed=5, progress=False)
    written = contents(done.out)
    stored = json.loads(written["MANIFEST.json"])
    images = {name: data for name, data in written.items() if name.endswith(".png")}
    assert {name: facts["sha256"] for name, facts in stored["files"].items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in images.items()
    }
    assert (stored["seed"], stored["licence"], stored["groups"]) == (5, "mine", {"train": 8, "test": 4})
    assert stored["counts"][0] == {
        "class": "good",
        "published": None,
        "found": 23,
        "train": 16,
        "valid": 0,
        "test": 6,
        "left_out": {"cannot be read": 1},
    }
    assert not [name for name, data in written.items() if str(tmp_path).encode() in data]


def test_every_image_that_is_not_used_has_a_line_with_the_reason(plan, tmp_path):
    for name in ("cut.png", "empty.png", "text.png"):
        whole = sources.save(plan.root / name, name).read_bytes()
        (plan.root / name).write_bytes({"cut.png": whole[:200], "empty.png": b"", "text.png": b"hello"}[name])
        plan.images.append(SourceImage(name, "good", plan.root / name, 0))
    os.mkfifo(plan.root / "pipe.png")
    plan.images.append(SourceImage("pipe.png", "good", plan.root / "pipe.png", 0))
    done = convert(plan, tmp_path / "Task", progress=False)
    with (done.out / "left_out.csv").open(encoding="utf-8") as stream:
        rows = {row["source"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"cut.png", "empty.png", "text.png", "pipe.png"} == {image.name for image in done.problems}
    assert all(row["why"] == "cannot be read" and row["detail"].startswith("image '") for row in rows.values())


def test_an_image_without_a_file_and_without_a_reason_is_left_out_by_name(plan, tmp_path):
    plan.images.append(SourceImage("gone.png", "good", None, 0))
    (problem,) = convert(plan, tmp_path / "Task", progress=False).problems
    assert (problem.why, problem.detail.partition(";")[0]) == ("cannot be read", "image 'gone.png' has no file")


def test_names_that_meet_or_that_readers_of_folders_skip_get_names_of_their_own(tmp_path):
    root = tmp_path / "source"
    plan = plan_of(
        root,
        *(image(root, f"{folder}/1.png", 0) for folder in "abcd"),
        image(root, "x/.hidden.png", 1),
        image(root, "x/what?*.png", 1),
        image(root, "x/1.png", 1),
        image(root, "y/1.bmp", 1),
    )
    done = convert(plan, tmp_path / "Task", test_fraction=0.5, progress=False)
    task = open_benchmark(done.out)["Task"]
    assert (len(task.train), len(task.test)) == (2, 6)
    bad = {path.name for path in task.test.paths if path.parent.name == "bad"}
    assert {"hidden.png", "what__.png", "1.png"} < bad
    assert len({path.stem for path in task.test.paths if path.parent.name == "bad"}) == 4


def test_a_mask_of_another_size_leaves_its_image_out(plan, tmp_path):
    plan.images[-1].mask = sources.save(tmp_path / "masks/mask.png", "mask")
    sources.Image.new("L", (5, 6)).save(plan.images[-1].mask)
    done = convert(plan, tmp_path / "Task", progress=False)
    assert "is 5x6 pixels, its image is 48x48" in done.problems[0].detail
    assert "mask 'mask.png' is 5x6" in (done.out / "left_out.csv").read_text(encoding="utf-8")
