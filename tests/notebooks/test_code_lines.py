"""Code of a lesson fits on its pages: no line over 100 characters, which pages and narrow windows cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from build.pairing import read_text, text_names, text_path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LONGEST = 100


def long_lines(path: Path) -> list[str]:
    """Number and text of each line of code that is too long."""
    code = {line for cell in read_text(path).cells if cell.cell_type == "code" for line in cell.source.splitlines()}
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return [f"{path.name}:{number}: {line}" for number, line in lines if len(line) > LONGEST and line in code]


@pytest.mark.parametrize("name", text_names(NOTEBOOKS))
def test_no_line_of_code_is_over_100_characters(name: str) -> None:
    found = long_lines(text_path(NOTEBOOKS, name))
    assert not found, "\n".join(found)


def test_a_long_line_is_found_and_long_text_is_none(tmp_path: Path) -> None:
    text = tmp_path / "00_x.py"
    text.write_text(f"# %% [markdown]\n# {'word ' * 30}\n\n# %%\nx = '{'y' * 96}'\nz = '{'y' * 94}'\n")
    assert long_lines(text) == [f"00_x.py:5: x = '{'y' * 96}'"]
