"""A cell holds one idea: at most 25 lines of code, and no plotting by hand in most lessons."""

from __future__ import annotations

from pathlib import Path

import pytest

from build.pairing import read_text, text_names, text_path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LONGEST = 25


def long_cells(path: Path) -> list[str]:
    """First line of each code cell with more than 25 lines that hold something; set-up and parameters count too."""
    cells = [cell for cell in read_text(path).cells if cell.cell_type == "code"]
    counted = [(sum(bool(line.strip()) for line in cell.source.splitlines()), cell.source) for cell in cells]
    return [f"{count} lines: {source.splitlines()[0]}" for count, source in counted if count > LONGEST]


@pytest.mark.parametrize("name", text_names(NOTEBOOKS))
def test_no_cell_is_longer_than_25_lines(name: str) -> None:
    found = long_cells(text_path(NOTEBOOKS, name))
    assert not found, "\n".join(found)


def test_a_long_cell_is_found(tmp_path: Path) -> None:
    text = tmp_path / "00_x.py"
    text.write_text("# %%\n" + "x = 1\n" * 25 + "\n# %%\n" + "y = 1\n\n" * 26)
    assert long_cells(text) == ["26 lines: y = 1"]
