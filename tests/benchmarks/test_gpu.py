"""The benchmark of a CUDA card runs on a processor at tiny size, keeps what it has, and survives a failing section."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from gpu_record import Record, Section

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_quick_run_on_the_processor_measures_every_section_and_writes_the_page_again(tmp_path: Path) -> None:
    page, stored = tmp_path / "page.md", tmp_path / "gpu.json"
    run = [sys.executable, str(BENCHMARKS / "gpu.py"), "--page", str(page)]
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent), "D24FAD_CACHE": str(tmp_path / "cache")}
    measure = [*run, "--quick", "--device", "cpu", "--budget", "240", "--out", str(tmp_path)]
    subprocess.run(measure, check=True, env=environment, capture_output=True)
    sections = json.loads(stored.read_text())["sections"]
    for name in ("images", "training", "peaks", "processor", "agreement", "loading", "whole", "switches"):
        assert sections[name]["rows"] and not sections[name]["failures"], sections[name]
    assert all(row["score"] == 0 for row in sections["agreement"]["rows"] if row["precision"] == "fp32")
    first = page.read_text()
    assert "Synthetic images" in first and "incomplete" not in first and first.count("\n- ") >= 4
    page.unlink()
    subprocess.run([*run, "--report", str(stored)], check=True, env=environment, capture_output=True)
    assert page.read_text() == first


def test_a_section_that_fails_is_noted_and_what_it_had_is_kept(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.json", {}, budget=60)

    def broken(section: Section) -> None:
        section.add(value=1)
        raise RuntimeError("no such kernel")

    record.run("broken", 10, broken)
    record.run("whole", 10, lambda section: section.add(value=2))
    record.run("late", 0, lambda section: section.add(value=3))
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert sections["broken"]["rows"] == [{"value": 1}]
    assert sections["broken"]["failures"] == [{"what": "section", "error": "RuntimeError: no such kernel"}]
    assert sections["whole"]["rows"] == [{"value": 2}]
    assert sections["late"]["skipped"] == ["all of it"] and not sections["late"]["rows"]
