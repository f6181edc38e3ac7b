"""A disk that is full at one write: one clear error, what was there stays, the same call goes on to the same end."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import victims
from tally import SEED, cases, count

import d24fad_lite as d2
from d24fad_lite.files import PARTIAL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FAULTS = 24  # of each work
SETTINGS = victims.SETTINGS | {"epochs": 3}


class FullDisk:
    """Every write that the kit makes whole or not at all ends in `os.replace` or `os.fsync`; one of them fails."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int = -1) -> None:
        self.writes, self.at = 0, at
        for name in ("replace", "fsync"):
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.writes += 1
            if self.writes - 1 == self.at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments, **keywords)

        return call


def contents(folder: Path) -> dict[str, bytes]:
    """What a folder holds; times in history.csv and report.json differ from run to run, so those count by name."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".in-use")]
    timed = {"history.csv", "training_state.safetensors", "report.json", "summary.csv"}
    return {
        path.relative_to(folder).as_posix(): b"" if path.name in timed else path.read_bytes() for path in sorted(files)
    }


def train(root: Path, out: Path) -> None:
    """A short training and its model."""
    model = d2.D24FAD(victims.CONFIG)
    d2.fit(model, d2.open_benchmark(root), out=out, **SETTINGS)
    model.save(out / "model.safetensors")


def predict(root: Path, out: Path) -> None:
    """Score a folder and draw heatmaps."""
    model, images = d2.D24FAD(victims.CONFIG), root / "Stripes"
    d2.predict_folder(
        model, images / "test" / "good", images / "train", out, batch_size=2, heatmap_size=32, progress=False
    )


def evaluate(root: Path, out: Path) -> None:
    """A report of an evaluation."""
    report = d2.evaluate(d2.D24FAD(victims.CONFIG), d2.open_benchmark(root)["Blobs"], shots=2, draws=2)
    report.save(out)


@pytest.mark.parametrize("work", [train, predict, evaluate])
def test_a_write_that_fails_is_named_and_loses_nothing(
    work: Callable[[Path, Path], None], tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        disk = FullDisk(patch)
        work(tiny_root, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    rng = np.random.default_rng([SEED, 4])
    for case in cases(FAULTS):
        out = tmp_path / "run"
        shutil.rmtree(out, ignore_errors=True)
        at = int(rng.integers(disk.writes)) if case >= disk.writes else case
        with monkeypatch.context() as patch:
            FullDisk(patch, at)
            with pytest.raises(OSError, match="No space left on device"):
                work(tiny_root, out)
        assert not list(out.rglob(f"{PARTIAL}*")), f"write {at}: a half-written file stayed"
        work(tiny_root, out)
        assert contents(out) == expected, f"write {at}"
        count("faults of single writes")
