"""The walk through encoders: what works, what is refused in words, one more column; and the page that it wrote."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("transformers")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COLUMN = """
import d24fad_lite as d2

def size(model, folder):
    return f"{model.config.image_size} px"

def broken(model, folder):
    raise OSError("full")

def unable(model, folder):
    raise d2.ExportError("no | such operator")
"""


def rows(text: str) -> list[list[str]]:
    """The cells of each row of an encoder."""
    lines = (line for line in text.splitlines() if line.startswith("| `"))
    return [[cell.strip().replace(r"\|", "|") for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.slow
def test_a_walk_tells_what_works_from_what_is_refused_and_what_fails(tmp_path: Path) -> None:
    (tmp_path / "more.py").write_text(COLUMN)
    names = ["test_resnet@32", "hf:resnet", "vit_tiny_patch16_224@72"]
    columns = ["--column", "px=more:size", "--column", "odd=more:broken", "--column", "no=more:unable"]
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
    assert timm[9] == "failed: OSError: full" and timm[10] == "refused: no | such operator"
    assert refused[3] == "refused" and "set image_size=64 or 80" in refused[-1]


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("encoders")


def measure(model: object, folder: Path) -> str:
    """Bytes of the file."""
    return str(folder)


def table(encoders: ModuleType) -> list:
    """One encoder that works, one that a column refuses, one that fails, one that is refused before the first step."""
    ok = dict.fromkeys(encoders.STEPS, "ok")
    return [
        encoders.Row("one", "timm", 64, "8@4x4; 8@4x4", ok | {"file": "2e-05"}, ["one grid for all levels"]),
        encoders.Row("two", "timm", 32, "8@4x4; 8@4x4", ok | {"file": "refused: no | such operator"}),
        encoders.Row("hf:three", "transformers", 64, "8@4x4; 8@4x4", ok | {"fit": "failed: OSError: full"}),
        encoders.Row("hf:four", "transformers", 64, "refused", {}, ["set image_size=64 or 80"]),
    ]


def test_the_page_counts_a_text_as_passed_and_refusals_of_a_column_apart_from_failures(encoders) -> None:
    text = " ".join(encoders.page(table(encoders), {"file": measure}).split())
    assert "All steps work for 1 encoders (1 of timm, 0 of transformers); 1 are refused, in the words" in text
    assert "last column; 1 are refused by file: `two`; 1 fail in a step." in text
    assert "Column file: Bytes of the file." in text and "save and load, file: training" in text


def test_a_page_that_is_read_and_written_again_is_the_same_and_other_columns_are_refused(encoders) -> None:
    rows_of_page = table(encoders)
    text = encoders.page(rows_of_page, {"file": measure})
    assert encoders.read_page(text, {"file": measure}) == rows_of_page
    with pytest.raises(SystemExit, match="has not the columns of this run"):
        encoders.read_page(text, {})
    with pytest.raises(SystemExit, match="has not the versions of this run"):
        encoders.read_page(text.replace("torch ", "torch 0."), {"file": measure})


def test_encoders_that_are_measured_again_take_the_place_of_their_rows(encoders, tmp_path, monkeypatch) -> None:
    page, old = tmp_path / "ENCODERS.md", table(encoders)
    page.write_text(encoders.page(old, {}), encoding="utf-8")
    monkeypatch.setattr(encoders, "PAGE", page)
    monkeypatch.setattr(encoders, "_benchmark", lambda root: None)
    mended = encoders.Row("hf:three", "transformers", 64, "9@4x4; 9@4x4", dict.fromkeys(encoders.STEPS, "ok"))
    monkeypatch.setattr(encoders, "walk", lambda name, *_: {"hf:three": mended}[name])
    monkeypatch.setattr(sys, "argv", ["encoders.py", "--again", "hf:three"])
    encoders.main()
    for row in old:  # the page has no column "file"
        row.steps.pop("file", None)
    assert page.read_text(encoding="utf-8") == encoders.page([*old[:2], mended, old[3]], {})
    monkeypatch.setattr(sys, "argv", ["encoders.py", "--again", "two"])  # the page has it at 32 px
    with pytest.raises(SystemExit):
        encoders.main()


def test_the_page_holds_forty_encoders_of_timm_and_six_formats_that_work_and_none_that_fails() -> None:
    table = rows((BENCHMARKS / "ENCODERS.md").read_text(encoding="utf-8"))
    working = [row for row in table if row[3] != "refused"]
    assert all(row[4:8] == ["ok"] * 4 for row in working)
    assert all("image_size=" in row[-1] or "image_size (" in row[-1] for row in table if row[3] == "refused")
    count = {library: len({row[0] for row in working if row[1] == library}) for library in ("timm", "transformers")}
    assert all(not cell.startswith("failed") for row in working for cell in row[8:-1])
    assert count["timm"] >= 40 and count["transformers"] >= 6
