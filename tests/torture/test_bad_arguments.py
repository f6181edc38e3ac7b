"""A wrong argument is refused in one line that names it, with exit code 2, before any work and without a file."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import victims
from bad_arguments import Places, bad_lines, good_lines
from tally import SEED, SHARE, count

import d24fad_lite as d2
from d24fad_lite.cli import main


class WorkBeganError(AssertionError):
    """Something long was started."""


def _work(*_: Any, **__: Any) -> NoReturn:
    raise WorkBeganError


@pytest.fixture(scope="module")
def at(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("arguments")
    model = d2.D24FAD(victims.CONFIG).save(folder / "model.safetensors")
    checkout = victims.write_checkout(folder / "checkout")
    lesson = Path(__file__).parents[2] / "notebooks" / "09_evaluate_task.ipynb"
    shutil.copy(lesson, checkout / "notebooks")
    return Places(tiny_root, model, folder / "out", checkout)


@pytest.fixture(autouse=True)
def _no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    for place in (
        "d24fad_lite.data.image_set.ImageSet.images",
        "d24fad_lite.predicting.prepared.support_reference",
        "d24fad_lite.runs.benchmark.drive.open_engine",
        "d24fad_lite.runs.series.run_notebook",
        "d24fad_lite.training.pretrain.recipe.Trainer.__init__",
        "d24fad_lite.data.samples.world.write_bytes",
    ):
        monkeypatch.setattr(place, _work)


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and what is said on stderr."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0), said.getvalue()


def test_the_good_lines_reach_the_work(at: Places) -> None:
    for arguments in good_lines(at).values():
        with pytest.raises(WorkBeganError):
            run(arguments)


def test_a_wrong_argument_is_refused_before_any_work(at: Places) -> None:
    lines = bad_lines(at)
    chosen = np.random.default_rng(SEED).permutation(len(lines))[: max(1, round(SHARE * len(lines)))]
    wrong = []
    for position in sorted(chosen):
        arguments = lines[position]
        try:
            code, said = run(arguments)
        except BaseException as error:
            wrong.append(f"{arguments[0]} {arguments[-2:]}: {type(error).__name__}: {str(error)[:150]}")
            continue
        errors = [line for line in said.splitlines() if "error" in line.lower()]
        if code != 2 or len(errors) != 1:
            wrong.append(f"{arguments[0]} {arguments[-2:]}: exit code {code}, said {said[-200:]!r}")
    assert not wrong, f"{len(wrong)} of {len(chosen)}:\n" + "\n".join(wrong)
    count("wrong command lines", len(chosen))
