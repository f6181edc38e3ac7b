"""Two that want one folder at the same time: one works, the other is told who is there, and nothing is mixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import victims
from killing import PATIENCE, started
from tally import cases, count

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAIRS = 10  # of each kind


@pytest.mark.parametrize("work", [victims.train, victims.grid, victims.series])
def test_one_works_and_one_is_told(
    work: Callable[..., None], tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("D24FAD_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("D24FAD_PAUSE", "1.5")  # so that the first is still there when the second has started
    checkout = victims.write_checkout(tmp_path / "checkout")
    for case in cases(PAIRS):
        out = tmp_path / f"out {case}"
        inputs: tuple[Any, ...] = (str(checkout), str(out))
        if work is victims.train:
            inputs = (str(tiny_root), str(out), "plain")
        reports = [tmp_path / f"{case} {number}" for number in range(2)]
        processes = [started(victims.reported, (str(report), work, inputs)) for report in reports]
        for process in processes:
            process.join(PATIENCE)
        said = sorted(report.read_text() for report in reports)
        assert said[1] == "worked" and " is in use by process " in said[0], said
        count("pairs in one folder")
