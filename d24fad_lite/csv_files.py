"""The one home of CSV files: written whole, and harmless in a spreadsheet.

A cell that begins with = + - @ or a control character is run as a formula by spreadsheets. Texts that begin so are
written with an apostrophe before them, which spreadsheets take as "this is a text"; numbers stay numbers. `restored`
takes the apostrophe off again, so that every name comes back as it was.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.files import write_text

if TYPE_CHECKING:
    import pandas as pd

# With apostrophes before it as well, so that `restored` is exact; \uff1d and the like are their full-width twins.
RISKY = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20\x00-\x1f\x7f-\x9f]")


def defused(cell: Any) -> Any:
    """A cell as it may stand in a CSV file: a risky text with an apostrophe before it, anything else as it is."""
    return f"'{cell}" if isinstance(cell, str) and RISKY.match(cell) else cell


def restored(cell: str) -> str:
    """The text that `defused` was given."""
    return cell[1:] if cell.startswith("'") and RISKY.match(cell[1:]) else cell


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows of cells as the text of a CSV file, defused."""
    buffer = io.StringIO()
    minimal, quoted = (csv.writer(buffer, lineterminator="\n", quoting=q) for q in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        cells = [defused(cell) for cell in row]
        # A lone carriage return would end the row for readers, and the writer does not quote it by itself.
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in cells) else minimal).writerow(cells)
    return buffer.getvalue()


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file, defused, whole or not at all."""
    write_text(path, csv_text([header, *rows]))


def write_frame(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a pandas frame without its index as a CSV file, its texts defused, whole or not at all."""
    cells = frame.astype(object).where(frame.notna(), "")
    write_csv(path, list(map(str, frame.columns)), cells.to_numpy().tolist())


def read_csv(path: str | Path) -> list[list[str]]:
    """The rows of a file of `write_csv`, header included, as they were before they were defused."""
    with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [[restored(cell) for cell in row] for row in csv.reader(file)]
