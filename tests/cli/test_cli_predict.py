from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from d24fad_lite.data.images import load_image
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.predicting.score_store import ScoreStore

BATCH = 3


@pytest.fixture
def scans(tiny_root: Path, tmp_path: Path) -> Path:
    """Twelve readable images in two folders, one below the other, of several formats."""
    folder = tmp_path / "scans"
    shutil.copytree(tiny_root / "Stripes/test/good", folder)
    shutil.copytree(tiny_root / "Stripes/test/bad", folder / "more, of them")
    with Image.open(folder / "000.png") as image:
        image.save(folder / "000.tif")
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def command(run_folder: Path, scans: Path, tiny_root: Path) -> list[object]:
    return [
        "predict",
        run_folder / "model.safetensors",
        scans,
        "--supports",
        tiny_root / "Stripes/train/good",
        "--shots",
        3,
        "--batch-size",
        BATCH,
        "--device",
        "cpu",
    ]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stop_before_batch(number: int, patch: pytest.MonkeyPatch) -> None:
    add, calls = ScoreStore.add, []

    def interrupted(self: ScoreStore, new: object) -> None:
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        add(self, new)

    patch.setattr(ScoreStore, "add", interrupted)


def test_every_image_has_its_score_and_heatmap_and_scores_are_the_models(
    d24fad, command, scans, run_folder, tmp_path
) -> None:
    result = d24fad(*command, "--out", tmp_path / "out", "--names")
    assert result.code == 0, result.err
    found = {row["name"]: float(row["score"]) for row in rows(tmp_path / "out")}
    assert len(found) == 12 and "more, of them/004.png" in found and "000.tif" in found
    shared = {"000.tif": "000.tif.png", "000.png": "000.png.png"}  # two images of one stem
    heatmaps = [shared.get(name, str(Path(name).with_suffix(".png"))) for name in found]
    assert all((tmp_path / "out/heatmaps" / name).is_file() for name in heatmaps)
    supports = json.loads((tmp_path / "out/predict.json").read_text())["supports"]
    model = D24FAD.load(run_folder / "model.safetensors")
    normals = Path(command[4])
    bank = model.encode_supports(torch.stack([load_image(normals / name, 32) for name in supports]))
    for name, score in found.items():
        alone = float(model.predict(load_image(scans / name, 32)[None], bank).score)
        assert score == pytest.approx(alone, abs=1e-6), name
    assert "12 images scored, 0 kept from before" in result.out and "for comparison, the supports (3;" in result.out


def test_a_run_stopped_half_way_and_resumed_equals_an_uninterrupted_one(d24fad, command, tmp_path, monkeypatch) -> None:
    assert d24fad(*command, "--out", tmp_path / "whole").code == 0
    with monkeypatch.context() as patch:
        stop_before_batch(3, patch)
        stopped = d24fad(*command, "--out", tmp_path / "parts")
    assert stopped.code == 130 and "keeps what is scored; the same command goes on from there" in stopped.err
    assert not (tmp_path / "parts/scores.csv").exists() and (tmp_path / "parts/scores.partial.csv").exists()
    resumed = d24fad(*command, "--out", tmp_path / "parts")
    assert f"{12 - 2 * BATCH} images scored, {2 * BATCH} kept from before" in resumed.out
    parts, whole = files(tmp_path / "parts"), files(tmp_path / "whole")
    pages = [found.pop("gallery.html") for found in (parts, whole)]  # maps of other batches differ by rounding
    assert parts == whole and len({re.sub(rb"base64,[^\"]+", b"", page) for page in pages}) == 1


def test_a_row_cut_short_by_a_crash_is_scored_again(d24fad, command, tmp_path, monkeypatch) -> None:
    assert d24fad(*command, "--out", tmp_path / "whole").code == 0
    with monkeypatch.context() as patch:
        stop_before_batch(2, patch)
        d24fad(*command, "--out", tmp_path / "parts")
    partial = tmp_path / "parts/scores.partial.csv"
    partial.write_bytes(partial.read_bytes()[:-20])
    assert f"{12 - BATCH + 1} images scored, {BATCH - 1} kept" in d24fad(*command, "--out", tmp_path / "parts").out
    assert [row["name"] for row in rows(tmp_path / "parts")] == [row["name"] for row in rows(tmp_path / "whole")]


def test_unusable_files_are_listed_by_name_with_exit_1_and_the_others_have_scores(
    d24fad, command, scans, tmp_path
) -> None:
    whole = (scans / "001.png").read_bytes()
    (scans / "cut.png").write_bytes(whole[: len(whole) // 2])
    (scans / "empty.jpg").write_bytes(b"")
    (scans / "scan.dcm").write_bytes(b"no DICOM")
    (scans / "text.png").write_text("no image")
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 1 and len(rows(tmp_path / "out")) == 12
    with (tmp_path / "out/failures.csv").open(newline="") as file:
        failures = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert sorted(failures) == ["cut.png", "empty.jpg", "scan.dcm", "text.png"]
    assert "0 bytes" in failures["empty.jpg"] and "cut short" in failures["cut.png"]
    assert all(f"unusable: {name}: " in result.err for name in failures)
    assert result.err.splitlines()[-1].startswith("error: 4 of 16 images could not be used; they are listed in ")
    for name in failures:
        (scans / name).write_bytes(whole)
    (scans / "scan.dcm").rename(scans / "scan.png")
    mended = d24fad(*command, "--out", tmp_path / "out")
    assert mended.code == 0 and "4 images scored, 12 kept" in mended.out
    assert not (tmp_path / "out/failures.csv").exists()


def test_a_changed_file_or_a_lost_heatmap_is_done_again_and_nothing_else(d24fad, command, scans, tmp_path) -> None:
    d24fad(*command, "--out", tmp_path / "out")
    before = {row["name"]: float(row["score"]) for row in rows(tmp_path / "out")}
    shutil.copy(scans / "more, of them/000.png", scans / "001.png")
    (tmp_path / "out/heatmaps/002.png").unlink()
    assert "2 images scored, 10 kept" in d24fad(*command, "--out", tmp_path / "out").out
    after = {row["name"]: float(row["score"]) for row in rows(tmp_path / "out")}
    assert [name for name in after if abs(after[name] - before[name]) > 1e-6] == ["001.png"]
    (scans / "003.png").unlink()
    gone = d24fad(*command, "--out", tmp_path / "out")
    assert "1 rows of scores.csv are of images that are not in the folder now" in gone.err


def test_results_of_other_settings_are_kept_unless_overwrite_is_said(d24fad, command, tmp_path) -> None:
    d24fad(*command, "--out", tmp_path / "out")
    before = files(tmp_path / "out")
    other = [*command, "--seed", 9, "--out", tmp_path / "out"]
    result = d24fad(*other)
    assert result.code == 2 and "scores of other settings (changed: supports)" in result.err
    assert files(tmp_path / "out") == before
    assert d24fad(*other, "--overwrite").code == 0
    assert (tmp_path / "out/scores.csv").read_bytes() != before["scores.csv"]


def test_a_scores_file_of_another_origin_is_not_touched(d24fad, command, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scores.csv").write_text("mine\n")
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 2 and "holds a scores.csv that this command did not write" in result.err
    assert (tmp_path / "out/scores.csv").read_text() == "mine\n"


def test_heatmaps_have_the_images_proportions_and_leave_supports_nearly_unpainted(
    d24fad, command, scans, tiny_root, tmp_path
) -> None:
    with Image.open(tiny_root / "Stripes/train/good/000.png") as image:
        image.resize((64, 32)).save(tmp_path / "wide.png")
    one = [*command]
    one[2] = tmp_path / "wide.png"
    assert d24fad(*one, "--out", tmp_path / "out", "--heatmap-size", 40).code == 0
    with Image.open(tmp_path / "out/heatmaps/wide.png") as heatmap:
        assert heatmap.size == (40, 20) and heatmap.mode == "RGB"
    support = tiny_root / "Stripes/train/good/000.png"
    alone = [*command[:2], support, "--supports", support, "--heatmap-size", 32, "--out", tmp_path / "self"]
    result = d24fad(*alone)
    assert "1 of the images are supports or --normals themselves" in result.err
    with Image.open(tmp_path / "self/heatmaps/000.png") as heatmap, Image.open(support) as image:
        assert np.array_equal(np.asarray(heatmap), np.asarray(image.convert("L").convert("RGB")))


def test_results_inside_the_image_folder_are_not_scored(d24fad, command, scans) -> None:
    out = ["--out", scans / "results"]
    assert d24fad(*command, *out).code == 0 and d24fad(*command, *out).code == 0
    assert len(rows(scans / "results")) == 12


def test_heatmap_size_0_draws_none(d24fad, command, tmp_path) -> None:
    assert d24fad(*command, "--heatmap-size", 0, "--out", tmp_path / "out").code == 0
    assert not (tmp_path / "out/heatmaps").exists() and len(rows(tmp_path / "out")) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: "nowhere.safetensors"}, "model nowhere.safetensors does not exist"),
        ({2: "nowhere"}, "data folder 'nowhere' does not exist"),
        ({4: "nowhere"}, "data folder 'nowhere' does not exist"),
        ({6: 99}, "--shots 99 of 10 supports cannot be drawn; give 1 to 10"),
        ({8: 0}, "batch size 0 must be at least 1"),
    ],
)
def test_bad_arguments_are_named(d24fad, command, tmp_path, change: dict, message: str) -> None:
    for position, value in change.items():
        command[position] = value
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1


def test_an_unreadable_support_stops_with_its_name(d24fad, command, tmp_path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    result = d24fad(*command[:3], "--supports", tmp_path / "broken.png", "--out", tmp_path / "out")
    assert result.code == 2 and "broken.png' is not a readable" in result.err


def test_an_empty_folder_and_an_unwritable_one_are_named(d24fad, command, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    empty = [*command]
    empty[2] = tmp_path / "empty"
    assert "empty' holds no image" in d24fad(*empty, "--out", tmp_path / "out").err
    blocked = d24fad(*command, "--out", tmp_path / "file")
    assert blocked.code == 2 and "error: cannot write into --out" in blocked.err


def test_a_file_that_is_no_model_is_refused(d24fad, command, tmp_path) -> None:
    command[1] = tmp_path / "model.safetensors"
    command[1].write_text("no model")
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 2 and "not a readable safetensors file" in result.err


def test_a_reading_is_followed_and_its_scores_do_not_mix_with_those_of_another(d24fad, command, tmp_path: Path) -> None:
    matched = [*command, "--reading", "matched", "--heatmap-size", 0, "--out", tmp_path / "out"]
    result = d24fad(*matched)
    assert result.code == 0, result.err
    first = rows(tmp_path / "out")
    assert d24fad(*command, "--heatmap-size", 0, "--out", tmp_path / "plain").code == 0
    assert [row["score"] for row in first] != [row["score"] for row in rows(tmp_path / "plain")]
    mixed = d24fad(*command, "--heatmap-size", 0, "--out", tmp_path / "out")
    assert mixed.code == 2 and "holds scores of other settings (changed: reading)" in mixed.err
    wrong = d24fad(*command, "--reading", "mached", "--out", tmp_path / "wrong")
    assert wrong.code == 2 and "did you mean 'matched'" in wrong.err and not (tmp_path / "wrong").exists()


def test_other_files_are_counted_and_named_and_no_failure(d24fad, command, scans, tmp_path) -> None:
    (scans / "more, of them/table.csv").write_text("a,b\n")
    (scans / ".secret.png").write_bytes(b"x")
    result = d24fad(*command, "--out", scans / "results", "--heatmap-size", 0)
    assert result.code == 0 and result.err.count("warning: ") == 1
    assert "3 file(s) ignored: .secret.png (hidden); 2 file(s) in scans, first: " in result.err
    assert len(json.loads((scans / "results/predict.json").read_text())["left_out"]) == 2


def test_a_folder_of_every_damaged_kind_ends_with_exit_1_a_row_for_each_and_all_good_images_scored(
    d24fad, command, scans, tmp_path
) -> None:
    whole, grey = (scans / "001.png").read_bytes(), Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20))
    bad = {
        "cut.png": whole[:99],
        "empty.tif": b"",
        "noise.jpg": b"\xff\xd8\xff" + bytes(range(200)),
        "a.dcm": b"DICM",
        "IM0001": bytes(128) + b"DICM" + bytes(range(64)),
        "half.bmp": b"BM" + bytes(60),
        "page.tif": b"II*\0" * 9,
        "volume.nii": b"\x5c\x01" * 200,
        "text.png": b"no image",
        "x.ima": b"\0" * 500,
    }
    for name, content in bad.items():
        (scans / name).write_bytes(content)
    grey.save(scans / "web.webp")
    grey.save(scans / "moving.gif")
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(scans / "nan.tif")
    (scans / "link.png").symlink_to(scans / "nowhere.png")
    (scans / "folder.png").mkdir()
    os.mkfifo(scans / "pipe.png")
    expected = {*bad, "web.webp", "moving.gif", "nan.tif", "link.png", "pipe.png"}
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 1 and len(rows(tmp_path / "out")) == 12, result.err
    with (tmp_path / "out/failures.csv").open(newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == expected
    assert f"error: {len(expected)} of {12 + len(expected)} images could not be used" in result.err
    assert "folder.png (an empty folder)" in result.err


def test_names_of_any_length_and_any_bytes_have_their_scores_and_heatmaps(d24fad, command, scans, tmp_path) -> None:
    names = ["x" * 245 + "1.png", "x" * 245 + "2.png", "é" * 120 + ".png", "a\nb.png", os.fsdecode(b"\xff.png")]
    for name in names:
        shutil.copy(scans / "001.png", scans / name)
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert len(rows(tmp_path / "out")) == 12 + len(names)
    assert len(list((tmp_path / "out/heatmaps").rglob("*.png"))) == 12 + len(names)
    assert (
        "12 images scored" not in result.out
        and f"0 images scored, {12 + len(names)} kept" in d24fad(*command, "--out", tmp_path / "out").out
    )


def test_an_image_whose_heatmap_cannot_be_drawn_fails_alone(d24fad, command, tmp_path, monkeypatch) -> None:
    from d24fad_lite.predicting import scoring

    draw = scoring.write_heatmap

    def fails_once(image: Path, *rest: object) -> None:
        if image.name == "000.tif":
            raise ValueError("changed since it was read")
        draw(image, *rest)

    monkeypatch.setattr(scoring, "write_heatmap", fails_once)
    result = d24fad(*command, "--out", tmp_path / "out")
    assert result.code == 1 and "unusable: 000.tif: changed since it was read" in result.err
    assert len(rows(tmp_path / "out")) == 11
