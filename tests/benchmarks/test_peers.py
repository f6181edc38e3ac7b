"""The comparison with other libraries: it says which package is missing, and where a peer is ahead."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import peers  # noqa: E402
import peers_lines  # noqa: E402


def test_a_missing_package_is_named_in_one_sentence_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imgad" else object())
    with pytest.raises(SystemExit, match=r"needs imgad: install the extra \[peers\]"):
        peers.require_peers()


def test_a_peer_with_the_higher_mean_is_named_and_a_lower_one_is_not() -> None:
    def row(method: str, image: float, pixel: float | None) -> tuple[str, SimpleNamespace, str]:
        return "resnet18", SimpleNamespace(task="RSNA", auroc=image, pixel_auroc=pixel), method

    rows = [row("kit a", 0.8, 0.9), row("kit b", 0.7, None), row("anomalib c", 0.75, 0.95), row("imgad d", 0.6, None)]
    assert peers.peers_ahead(rows) == ["resnet18, RSNA, pixel AUROC: anomalib c 0.950, kit a 0.900"]


def test_the_interval_over_draws_is_students_t() -> None:
    assert peers.over_draws([0.7, 0.8, 0.9]) == "0.800 [0.552, 1.048]" and peers.over_draws(None) == ""


def test_lines_are_counted_without_the_empty_ones() -> None:
    assert peers_lines.count("\na = 1\n\nb = 2\n") == 2
