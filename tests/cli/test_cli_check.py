from __future__ import annotations

import os
import shutil
from importlib.metadata import version


def test_check_names_the_versions_and_walks_the_whole_path(d24fad) -> None:
    result = d24fad("check")
    assert result.code == 0, result.err
    assert f"torch {version('torch')}" in result.out and f"timm {version('timm')}" in result.out
    done = [line.split(":")[0].split(maxsplit=1)[1] for line in result.out.splitlines() if line.startswith("ok ")]
    assert done == ["draw samples", "train on HIS", "evaluate on RSNA", "predict a folder"]
    assert result.out.endswith("everything works\n")


def test_check_names_the_step_that_fails_and_exits_with_1(d24fad, monkeypatch) -> None:
    from d24fad_lite.runs import self_test

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(self_test, "write_samples", full_disk)
    result = d24fad("check")
    assert result.code == 1 and "FAILED  draw samples: no space left" in result.err
    assert "everything works" not in result.out


def test_check_without_the_test_only_reports(d24fad) -> None:
    result = d24fad("check", "--no-test")
    assert result.code == 0 and result.out.startswith("system ") and "ok " not in result.out


def test_check_of_a_sound_folder_prints_its_tables_and_writes_the_page(d24fad, tiny_root, tmp_path) -> None:
    result = d24fad("check", tiny_root, "--html", tmp_path / "intake.html")
    assert result.code == 0, result.err
    assert "Blobs test: 5 normal, 5 anomalous, 5 mask(s); 32x32; 8-bit colour; PNG" in result.out
    assert "2 task(s), 40 images, 0 error(s), 0 warning(s), 0 file(s) left out" in result.out
    assert (tmp_path / "intake.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_check_of_a_folder_of_every_damaged_kind_names_each_and_exits_with_1(d24fad, tiny_root, tmp_path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root / "Blobs", root / "Blobs")
    good = root / "Blobs/train/good"
    bad = {
        "cut.png": (good / "000.png").read_bytes()[:99],
        "empty.tif": b"",
        "noise.jpg": b"\xff\xd8\xff" + bytes(99),
        "a.dcm": b"DICM",
        "IM0001": bytes(128) + b"DICM" + bytes(64),
        "text.png": b"no image",
        "b.bmp": b"BM",
    }
    for name, content in bad.items():
        (good / name).write_bytes(content)
    os.mkfifo(good / "pipe.png")
    (good / "web.webp").touch()
    result = d24fad("check", root, "--html", tmp_path / "intake.html")
    assert result.code == 1, result.out
    assert all(
        any(line.startswith("error: Blobs: ") and f"{name}'" in line for line in result.out.splitlines())
        for name in [*bad, "pipe.png"]
    )
    assert "left out: Blobs/train/good/web.webp: 1 file(s), no PNG" in result.out
    assert f"error: {len(bad) + 1} finding(s) would stop work or falsify results" in result.err
    assert (tmp_path / "intake.html").is_file()


def test_check_wants_a_folder_for_its_page_and_names_one_that_is_missing(d24fad, tmp_path) -> None:
    alone = d24fad("check", "--html", tmp_path / "intake.html")
    assert alone.code == 2 and "d24fad check ROOT --html FILE" in alone.err
    (tmp_path / "file").write_text("in the way")
    blocked = d24fad("check", tmp_path, "--html", tmp_path / "file/intake.html")
    assert blocked.code == 2 and "error: cannot write into --html" in blocked.err
    missing = d24fad("check", tmp_path / "nowhere")
    assert missing.code == 2 and "nowhere' does not exist" in missing.err
