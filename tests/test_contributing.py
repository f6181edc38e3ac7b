"""The code blocks of CONTRIBUTING.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_page_has_code_for_a_teacher_and_a_baseline() -> None:
    assert [title for title, _ in BLOCKS] == ["Add a teacher", "Add a baseline"]


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_a_block_runs(
    title: str, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code, f"CONTRIBUTING.md, {title}", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.strip()


def test_every_path_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:d24fad_lite|notebooks|tests|benchmarks)/[\w./]*)`", PAGE)
    missing = [path for path in named if not (ROOT / path.rstrip("/")).exists() and "NN_name" not in path]
    assert missing == []
