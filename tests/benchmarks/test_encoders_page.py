"""The walk through encoders: what works, what is refused in words, one more column; and the page that it wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COLUMN = """
def size(model, folder):
    return f"{model.config.image_size} px"

def broken(model, folder):
    raise OSError("full")
"""


def rows(text: str) -> list[list[str]]:
    """The cells of each row of an encoder."""
    lines = (line for line in text.splitlines() if line.startswith("| `"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.slow
def test_a_walk_tells_what_works_from_what_is_refused_and_what_fails(tmp_path: Path) -> None:
    (tmp_path / "more.py").write_text(COLUMN)
    names = ["test_resnet@32", "hf:resnet", "vit_tiny_patch16_224@72"]
    columns = ["--column", "px=more:size", "--column", "odd=more:broken"]
    run = subprocess.run(
        [sys.executable, BENCHMARKS / "encoders.py", *columns, "--only", *names],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=tmp_path,
        check=False,
        env=os.environ | {"D24FAD_CACHE": str(tmp_path / "cache")},
    )
    assert run.returncode == 0, run.stderr
    timm, theirs, refused = rows(run.stdout)
    assert timm[3] == "32@8x8, 48@4x4, 192@2x2; 96@1x1" and theirs[3] == "8@16x16, 16@8x8, 24@4x4; 32@2x2"
    assert timm[4:8] == theirs[4:8] == ["ok"] * 4 and [timm[8], theirs[8]] == ["32 px", "64 px"]
    assert timm[9] == "OSError: full"
    assert refused[3] == "refused" and "set image_size=64 or 80" in refused[-1]


def test_the_page_holds_forty_encoders_of_timm_and_six_formats_that_work_and_none_that_fails() -> None:
    table = rows((BENCHMARKS / "ENCODERS.md").read_text(encoding="utf-8"))
    working = [row for row in table if row[3] != "refused"]
    assert all(row[4:8] == ["ok"] * 4 for row in working)
    assert all("image_size=" in row[-1] or "image_size (" in row[-1] for row in table if row[3] == "refused")
    count = {library: len({row[0] for row in working if row[1] == library}) for library in ("timm", "transformers")}
    assert count["timm"] >= 40 and count["transformers"] >= 6
