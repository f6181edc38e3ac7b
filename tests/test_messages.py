"""Words that errors share."""

from __future__ import annotations

from d24fad_lite.messages import printable


def test_any_name_can_be_shown_on_one_line() -> None:
    assert printable("a\nb\udcff é.png") == "a\\nb\\udcff é.png"
