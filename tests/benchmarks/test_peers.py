"""The comparison with other libraries: it says which package is missing, and where a peer is ahead."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import peers  # noqa: E402
import peers_lines  # noqa: E402


def test_a_missing_package_is_named_in_one_sentence_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imgad" else object())
    with pytest.raises(SystemExit, match=r"needs imgad: install the extra \[peers\]"):
        peers.require_peers()


def test_a_side_is_ahead_only_where_the_interval_leaves_out_zero() -> None:
    clear, unclear, kit = (-0.1, -0.2, -0.01), (-0.1, -0.2, 0.01), (0.1, 0.01, 0.2)
    assert [peers.winner(one) for one in (clear, unclear, kit)] == ["peer", "neither clearly", "kit"]
    pairs = [("world", "resnet18", "RSNA", "a - b", [one, None]) for one in (clear, unclear, kit)]
    assert peers.ahead_in_words(pairs) == [
        "- a - b, image AUROC: the peer's mean is higher in 2 of 3 rows, clearly in 1; the kit's clearly in 1."
    ]


def test_the_interval_over_draws_is_students_t() -> None:
    assert peers.over_draws([0.7, 0.8, 0.9]) == "0.800 [0.552, 1.048]" and peers.over_draws(None) == ""


def test_lines_are_counted_without_the_empty_ones() -> None:
    assert peers_lines.count("\na = 1\n\nb = 2\n") == 2
