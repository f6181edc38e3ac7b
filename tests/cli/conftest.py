"""How the tests call the command line: through its entry point, in this process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from d24fad_lite.cli import main

TEACHER = "test_resnet.r160_in1k"  # timm's tiny test model


class Result(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Result]


def call(*arguments: object) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return Result(int(stop.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def d24fad() -> Command:
    """`d24fad("fit", "--out", folder)` -> exit code, stdout, stderr."""
    return call


@pytest.fixture(scope="session")
def fit_options(tiny_root: Path) -> list[object]:
    """The options of a quick training run on the task Blobs."""
    return [
        "fit",
        "--data",
        tiny_root,
        "--leave-out",
        "Stripes",
        "--teacher",
        TEACHER,
        "--weights",
        "random",
        "--image-size",
        32,
        "--shots",
        2,
        "--batch-size",
        4,
        "--device",
        "cpu",
    ]


@pytest.fixture(scope="session")
def run_folder(fit_options: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished `d24fad fit` of two epochs. Read only."""
    out = tmp_path_factory.mktemp("cli") / "run"
    result = call(*fit_options, "--epochs", 2, "--out", out)
    assert result.code == 0, result.err
    return out
