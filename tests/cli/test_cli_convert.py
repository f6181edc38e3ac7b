from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import sources

KINDS = ("rsna", "lag", "aptos", "brats-kaggle", "camelyon-bmad", "csv", "nifti")


@pytest.mark.parametrize("kind", KINDS)
def test_the_help_of_a_source_tells_why_with_examples_and_defaults(d24fad, kind: str) -> None:
    result = d24fad("convert", kind, "--help")
    assert result.code == 0
    assert "Why: " in result.out and f"\n    d24fad convert {kind} " in result.out and "[default: " in result.out


def test_the_help_of_convert_lists_the_sources(d24fad) -> None:
    out = d24fad("convert", "--help").out
    assert all(f"\n  {kind} " in out for kind in KINDS) and "Nothing is downloaded" in out


def test_convert_prints_found_kept_and_left_out_and_exits_with_1_for_damaged_files(d24fad, tmp_path: Path) -> None:
    result = d24fad("convert", "rsna", sources.rsna(tmp_path / "source"), tmp_path / "data/RSNA", "--seed", 3)
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].split() == ["class", "published", "found", "train", "valid", "test", "left", "out", "why"]
    assert lines[3].startswith("Lung Opacity") and lines[3].split("  ")[-1] == "1 cannot be read; 1 file is missing"
    assert lines[5].split() == ["all", "26684", "17", "8", "0", "4", "6"]
    assert "licence: the terms of the RSNA" in result.out and "12 images in" in result.out
    assert "left out: stage_2_train_images/missing.dcm: file is missing" in result.err
    assert result.err.splitlines()[-1].startswith("error: 3 image(s) were damaged, missing or contradictory; all are")
    stored = json.loads((tmp_path / "data/RSNA/MANIFEST.json").read_text(encoding="utf-8"))
    assert stored["command"] == "d24fad convert rsna SOURCE OUT --seed 3 --test-fraction 0.2"


def test_a_sound_source_exits_with_0_and_the_task_evaluates(d24fad, tmp_path: Path) -> None:
    result = d24fad("convert", "brats-kaggle", sources.brain(tmp_path / "source"), tmp_path / "data/BrainTumor")
    assert (result.code, result.err) == (0, "") and "1 same image in another split" in result.out
    done = d24fad(
        "evaluate",
        "--untrained",
        "--data",
        tmp_path / "data",
        "--task",
        "BrainTumor",
        "--shots",
        2,
        "--draws",
        2,
        "--image-size",
        32,
        "--teacher",
        "test_resnet.r160_in1k",
        "--weights",
        "random",
        "--device",
        "cpu",
    )
    assert done.code == 0 and "AUROC" in done.out, done.err


def test_names_that_are_no_text_are_told_all_the_same(d24fad, tmp_path: Path) -> None:
    source = sources.brain(tmp_path / "source")
    (Path(os.fsdecode(os.fsencode(source / "Testing/notumor/") + b"/\xff.jpg"))).write_bytes(b"broken")
    result = d24fad("convert", "brats-kaggle", source, tmp_path / "BrainTumor")
    assert result.code == 1 and "left out: Testing/notumor/" in result.err


def test_near_copies_in_train_and_test_are_a_warning(d24fad, tmp_path: Path) -> None:
    result = d24fad("convert", "lag", sources.lag(tmp_path / "source"), tmp_path / "LAG", "--test-fraction", 0.5)
    assert result.code == 0 and "near copies in train and test, first train/good/000" in result.err


def test_a_table_and_volumes_are_converted_with_their_options(d24fad, tmp_path: Path) -> None:
    rows = ["name,grade,who"]
    for index in range(8):
        sources.save(tmp_path / f"pictures/{index}.PNG", f"csv{index}")
        rows.append(f"{index},{'0.0' if index < 6 else index - 5},p{index}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    result = d24fad(
        "convert",
        "csv",
        tmp_path / "t.csv",
        tmp_path / "Own",
        "--image",
        "name",
        "--label",
        "grade",
        "--normal",
        "0",
        "--group",
        "who",
        "--folder",
        tmp_path / "pictures",
        "--suffix",
        ".png",
    )
    assert result.code == 0, result.err
    assert sorted(path.name for path in (tmp_path / "Own/test/bad").iterdir()) == ["1", "2"]

    pytest.importorskip("nibabel")
    for index in range(5):
        sources.volume(tmp_path / f"volumes/{'bad' if index > 3 else 'good'}/v{index}.nii.gz", index)
    result = d24fad(
        "convert",
        "nifti",
        tmp_path / "volumes",
        tmp_path / "Brain",
        "--axis",
        "coronal",
        "--slices",
        "5:15",
        "--step",
        5,
        "--window",
        "-160:240",
    )
    assert result.code == 0, result.err
    assert sorted(path.name for path in (tmp_path / "Brain/test/bad").iterdir()) == ["v4_005.png", "v4_010.png"]
    assert "slices are in RAS" in result.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--slices", "60"), "--slices '60' must be written FIRST:LAST"),
        (("--slices", "a:b"), "--slices 'a:b' must be written FIRST:LAST"),
        (("--window", "5:"), "--window '5:' needs both ends"),
        (("--percentiles", ":99"), "--percentiles ':99' needs both ends"),
        (("--axis", "up"), "axis='up' is not known; choose one of 'sagittal', 'coronal', 'axial'"),
    ],
)
def test_wrong_ranges_are_named(d24fad, tmp_path: Path, options: tuple, message: str) -> None:
    result = d24fad("convert", "nifti", tmp_path, tmp_path / "out", *options)
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1


def test_wrong_places_are_one_line(d24fad, tmp_path: Path) -> None:
    result = d24fad("convert", "lag", tmp_path / "nowhere", tmp_path / "out")
    assert result.code == 2 and "does not exist; expected a folder with non_glaucoma" in result.err
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    result = d24fad("convert", "lag", sources.lag(tmp_path / "source"), tmp_path / "full")
    assert result.code == 2 and "already holds something" in result.err and result.err.count("\n") == 1


@pytest.mark.parametrize(("kind", "package", "extra"), [("rsna", "pydicom", "dicom"), ("nifti", "nibabel", "nifti")])
def test_a_missing_package_is_named_with_its_extra(d24fad, tmp_path: Path, monkeypatch, kind, package, extra) -> None:
    class Absent:
        def find_spec(self, name: str, *_: object) -> None:
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    result = d24fad("convert", kind, tmp_path, tmp_path / "out")
    assert result.code == 2 and f"needs the package {package}; install it with: pip install 'd24fad_lite[{extra}]'" in (
        result.err
    )
