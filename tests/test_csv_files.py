"""CSV files that a spreadsheet takes for what they are, and that give every name back."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import d24fad_lite
from d24fad_lite.csv_files import csv_text, defused, read_csv, restored, write_csv, write_frame

HOSTILE = ["=cmd|'/c calc'!A1", "+1", "-1.png", "@x", "\t=1", "\r=1", "\x1b[31m", "'=1", "''-2", "\uff1dx"]
PLAIN = ["a.png", "'quoted'", "a=b", "", "é ü", "1e5", "a,b", 'a"b', "two\nlines", "x\udcff.png"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_a_spreadsheet_would_run_is_written_as_text(text: str) -> None:
    assert defused(text) == f"'{text}" and restored(defused(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == text == restored(text)


def test_numbers_stay_numbers_and_texts_come_back(tmp_path: Path) -> None:
    rows = [[text, "0.5"] for text in HOSTILE + PLAIN]
    write_csv(tmp_path / "t.csv", ("name", "score"), rows)
    assert read_csv(tmp_path / "t.csv") == [["name", "score"], *rows]
    assert csv_text([(-0.5, -1, None)]) == "-0.5,-1,\n"


def test_a_frame_keeps_its_numbers_and_defuses_texts_and_headings(tmp_path: Path) -> None:
    frame = pd.DataFrame({"=name": ["=1", "b"], "score": [-0.5, 2.0], "seen": [True, False]})
    frame["group"] = pd.Categorical(["@g", "h"])
    write_frame(tmp_path / "t.csv", frame)
    assert (tmp_path / "t.csv").read_text() == "'=name,score,seen,group\n'=1,-0.5,True,'@g\nb,2.0,False,h\n"
    assert frame.columns[0] == "=name"


def test_no_other_place_in_the_package_writes_csv() -> None:
    package = Path(d24fad_lite.__file__).parent
    writers = re.compile(r"csv\.(Dict)?[wW]riter|\.to_csv\(")
    found = {path.name for path in package.rglob("*.py") if writers.search(path.read_text())}
    assert found == {"csv_files.py"}
