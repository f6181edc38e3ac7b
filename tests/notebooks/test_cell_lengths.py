"""A cell holds one idea: at most 25 lines of code; a plot is a figure with a name, drawn by the package."""

from __future__ import annotations

import re
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


def drawn_by_hand(path: Path) -> list[str]:
    """Lines of code that reach for a plotting library."""
    code = [cell.source for cell in read_text(path).cells if cell.cell_type == "code"]
    return re.findall(r"^.*\b(?:matplotlib|seaborn|plt)\b.*$", "\n".join(code), flags=re.MULTILINE)


@pytest.mark.parametrize("name", text_names(NOTEBOOKS))
def test_no_lesson_plots_by_hand(name: str) -> None:
    found = drawn_by_hand(text_path(NOTEBOOKS, name))
    assert not found, "\n".join(found)


def test_a_plot_by_hand_is_found(tmp_path: Path) -> None:
    text = tmp_path / "00_x.py"
    text.write_text("# %% [markdown]\n# matplotlib draws\n\n# %%\nfig, ax = plt.subplots()\nd2.show_figure(fig, 'x')\n")
    assert drawn_by_hand(text) == ["fig, ax = plt.subplots()"]


def test_a_long_cell_is_found(tmp_path: Path) -> None:
    text = tmp_path / "00_x.py"
    text.write_text("# %%\n" + "x = 1\n" * 25 + "\n# %%\n" + "y = 1\n\n" * 26)
    assert long_cells(text) == ["26 lines: y = 1"]
