"""The script that reads damaged files: it finds nothing in a short run, and it would notice if there were something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import damaged_files


def test_a_short_run_finds_no_fault():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", damaged_files.__file__, "--count", "150"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    total = next(line for line in run.stdout.splitlines() if line.startswith("all")).split()
    assert total[1] == "150" and total[4:] == ["0"] * 4 and int(total[2]) > 10


def test_mutants_are_the_same_for_the_same_seed():
    whole = bytes(range(256)) * 4
    first, again, other = (damaged_files.mutated(whole, np.random.default_rng([seed, 3])) for seed in (0, 0, 1))
    assert first == again != whole and other != first


def test_a_signal_is_counted_and_the_next_file_is_read(tmp_path):
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    worker = damaged_files.Worker()
    assert worker.read(tmp_path / "a.png") == "read"
    worker.process.send_signal(11)
    worker.process.wait()
    worker.process.stdin = type("Gone", (), {"write": lambda self, text: None})()  # what was written in time is lost
    assert worker.read(tmp_path / "a.png") == "signal:11"
    assert worker.read(tmp_path / "a.png") == "read"
    worker.stop()


def test_a_hang_is_counted(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    worker = damaged_files.Worker()
    monkeypatch.setattr(damaged_files, "SECONDS", 0)
    assert worker.read(tmp_path / "a.png") == "hang"
    worker.stop()
