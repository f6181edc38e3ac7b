"""Checks of a computer: one line each, a remedy for what fails, and durations that one would say aloud."""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from d24fad_lite.lessons import setup_checks
from d24fad_lite.lessons.setup_checks import SetupChecks, disk, memory, packages, rough_duration, unchanged


def failing() -> str:
    raise OSError("no such thing")


def test_a_check_that_raises_prints_its_remedy_and_the_next_one_still_runs(capsys: pytest.CaptureFixture[str]) -> None:
    checks = SetupChecks()
    checks.run("first", failing, "do this")
    checks.run("second", lambda: "found")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["FAILED  first: OSError: no such thing", "        -> do this"]
    assert lines[2].startswith("ok      second: found  (")
    assert checks.outcome == {"first": "FAILED", "second": "ok"}
    assert checks.failed == ["first"] and checks.verdict == "NOT ready: first failed"
    checks.run("first", lambda: "mended")
    assert checks.verdict == "ready: all 2 checks are ok"


def test_this_computer_is_checked_in_five_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = SetupChecks()
    checks.machine(tmp_path)
    assert list(checks.outcome) == ["Python", "packages", "compute", "memory", "disk"]
    assert "GFLOP/s" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_a_required_package_of_another_version_fails_and_an_optional_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setup_checks, "requires", lambda _: ["numpy>=1", 'nothere>=2; extra == "dicom"'])
    assert packages() == "1 fit; optional and not usable: nothere absent, needs >=2"
    monkeypatch.setattr(setup_checks, "requires", lambda _: ["numpy>=99", 'nothere; extra == "dicom"'])
    with pytest.raises(RuntimeError, match=r"^numpy [\d.]+, needs >=99$"):
        packages()


def test_too_little_memory_or_disk_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = namedtuple("free", "available free")(2**30, 2**28)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(setup_checks.shutil, "disk_usage", lambda _: free)
    with pytest.raises(RuntimeError, match=r"only 1\.0 GiB are free, the series wants 3"):
        memory()
    with pytest.raises(RuntimeError, match=r"only 0\.2 GiB are free"):
        disk(tmp_path)


def test_a_changed_or_absent_sample_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    hashes = {name: {"sha256": setup_checks.file_sha256(tmp_path / name)} for name in ("a.png", "b.png")}
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"files": hashes}))
    assert unchanged(tmp_path) == "2 files are, byte for byte, what MANIFEST.json says"
    (tmp_path / "b.png").write_bytes(b"repaired")
    with pytest.raises(RuntimeError, match=r"1 of 2 files differ from MANIFEST.json, first: b\.png"):
        unchanged(tmp_path)
    (tmp_path / "a.png").unlink()
    SetupChecks().samples(tmp_path)
    printed = capsys.readouterr().out
    assert "1 of 2 files of MANIFEST.json are absent, first: a.png" in printed
    assert "-> delete the folder data_samples and run `d24fad samples --out data_samples`" in printed


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0, "under 1 min"),
        (0.05, "3 min"),
        (1.4, "84 min"),
        (5.2, "5 h"),
        (35, "35 h"),
        (300, "12 days"),
        (3000, "4 months"),
        (995_686.97, "110 years"),
        (2e7, "2,300 years"),
    ],
)
def test_a_duration_is_said_with_two_digits(hours: float, text: str) -> None:
    assert rough_duration(hours) == text


@pytest.mark.parametrize("hours", [-1.0, float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(hours: float) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        rough_duration(hours)
