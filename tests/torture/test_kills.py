"""Killed at any moment, again and again: nothing is lost, nothing is done twice, the end is the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import victims
from killing import kill_again_and_again, seconds_of
from safetensors.torch import load_file
from tally import cases, count
from victims import VARIANTS, write_checkout

import d24fad_lite as d2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FIT_KILLS, GRID_KILLS, SERIES_KILLS, PREDICT_KILLS = 60, 10, 10, 20


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("D24FAD_LEDGER", str(tmp_path / "ledger"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_killed_at_any_moment_ends_with_the_weights_of_an_uninterrupted_one(
    variant: str, tiny_root: Path, tmp_path: Path
) -> None:
    whole = seconds_of(victims.train, str(tiny_root), str(tmp_path / "whole"), variant)
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    wanted, runs = len(cases(FIT_KILLS // len(VARIANTS))), set()

    def arguments(run: int) -> tuple[Any, ...]:
        return victims.train, str(tiny_root), str(tmp_path / f"run {run}"), variant

    for run in kill_again_and_again(wanted, whole, 1, arguments):
        runs.add(run)
    for run in runs:
        out = tmp_path / f"run {run}"
        seconds_of(*arguments(run))
        found = load_file(out / "model.safetensors")
        assert all((found[name] == tensor).all() for name, tensor in expected.items()), f"{out.name}: other weights"
        epochs = Counter(Path(f"{out}.epochs").read_text().split())
        assert max(epochs.values()) == 1, f"{out.name}: epochs trained twice: {epochs}"
        assert not list(out.glob(".partial-*"))
    count("kills in fit", wanted)


def _completed_cells(out: Path) -> set[str]:
    done = {path.parent: json.loads(path.read_text()) for path in out.glob("*/result.json")}
    return {str(folder / "cell") for folder, result in done.items() if result["status"] == "completed"}


def _completed_notebooks(out: Path) -> set[str]:
    if not (out / "summary.json").is_file():
        return set()
    results = json.loads((out / "summary.json").read_text())["notebooks"]
    return {str(out / result["name"]) for result in results if result["status"] == "completed"}


@pytest.mark.parametrize(
    ("work", "kills", "completed", "what"),
    [
        (victims.grid, GRID_KILLS, _completed_cells, "kills in a benchmark's grid"),
        (victims.series, SERIES_KILLS, _completed_notebooks, "kills in a series of notebooks"),
    ],
)
def test_a_run_of_notebooks_killed_at_any_moment_completes_and_runs_nothing_that_is_done_again(
    work, kills: int, completed, what: str, tmp_path: Path
) -> None:
    checkout, ledger, wanted = str(write_checkout(tmp_path / "checkout")), tmp_path / "ledger", len(cases(kills))
    whole = seconds_of(work, checkout, str(tmp_path / "whole"))
    starts, done, runs = Counter(ledger.read_text().splitlines()), set(), set()
    for run in kill_again_and_again(wanted, whole, 2, lambda run: (work, checkout, str(tmp_path / f"run {run}"))):
        again = Counter(ledger.read_text().splitlines())
        assert not {name for name in done if again[name] != starts[name]}, f"run {run}: done work was done again"
        starts, done, runs = again, done | completed(tmp_path / f"run {run}"), runs | {run}
    for run in runs:
        seconds_of(work, checkout, str(tmp_path / f"run {run}"))
        assert len(completed(tmp_path / f"run {run}")) == 3
    again = Counter(ledger.read_text().splitlines())
    assert not {name for name in done if again[name] != starts[name]}, "done work was done again"
    count(what, wanted)


def test_a_prediction_killed_at_any_moment_ends_with_the_same_files(tiny_root: Path, tmp_path: Path) -> None:
    model = d2.D24FAD(victims.CONFIG).save(tmp_path / "model.safetensors")
    inputs = [str(model), str(tiny_root / "Stripes" / "test"), str(tiny_root / "Stripes" / "train")]
    whole = seconds_of(victims.predict, *inputs, str(tmp_path / "whole"))
    wanted, runs = len(cases(PREDICT_KILLS)), set()

    def arguments(run: int) -> tuple[Any, ...]:
        return victims.predict, *inputs, str(tmp_path / f"run {run}")

    for run in kill_again_and_again(wanted, whole, 3, arguments):
        runs.add(run)
    for run in runs:
        seconds_of(*arguments(run))
        for path in (tmp_path / "whole").rglob("*"):
            if path.is_file():
                other = tmp_path / f"run {run}" / path.relative_to(tmp_path / "whole")
                assert other.read_bytes() == path.read_bytes(), path.name
    count("kills in predict", wanted)
