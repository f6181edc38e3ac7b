"""Words that errors share."""

from __future__ import annotations

import pytest

from d24fad_lite.messages import printable, without_folders


def test_any_name_can_be_shown_on_one_line() -> None:
    assert printable("a\nb\udcff é.png") == "a\\nb\\udcff é.png"


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("image '/home/me/my scans/a b.png' is cut short", "image 'a b.png' is cut short"),
        ("cannot read /home/me/a.png: 3 bytes", "cannot read a.png: 3 bytes"),
        ("File \x1b[32m/home/me/lib/x.py:7\x1b[39m, in f", "File \x1b[32mx.py:7\x1b[39m, in f"),
        ("File ~/lib/x.py:7", "File x.py:7"),
        (r"C:\Users\me\a.png and D:/b/c.png", "a.png and c.png"),
        (r"\\server\share\a.png", "a.png"),
        ("root=/home/me/data/", "root="),
        ("file:///home/me/a.png", "a.png"),
    ],
)
def test_absolute_paths_are_cut_to_their_names(text: str, short: str) -> None:
    assert without_folders(text) == short


@pytest.mark.parametrize(
    "text",
    [
        "https://arxiv.org/abs/2603.01713",
        "HIS/test/good/1.png",
        "1/2 and 3/4/5",
        "<td>a</td></tr>",
        r"'\n\na'",
        "a / b",
    ],
)
def test_addresses_relative_paths_and_fractions_stay(text: str) -> None:
    assert without_folders(text) == text
