"""A test set of one class has no AUROC: every function that compares the two says so, before it works for long."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import d24fad_lite as d2
from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.evaluation.baselines.compare import compare
from d24fad_lite.evaluation.uncertainty.intervals import bootstrap_auroc
from d24fad_lite.supports.contamination import contamination_experiment
from d24fad_lite.supports.lottery import support_lottery


@pytest.fixture(scope="module")
def model() -> d2.D24FAD:
    return d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32)).eval()


@pytest.fixture(params=["good", "bad"])
def task(request: pytest.FixtureRequest, tiny_root: Path, tmp_path: Path) -> Task:
    shutil.copytree(tiny_root / "Blobs", tmp_path / "Blobs")
    for name in (request.param, *(["mask"] if request.param == "bad" else [])):
        shutil.rmtree(tmp_path / "Blobs/test" / name)
    with pytest.warns(UserWarning, match="AUROC is not defined"):
        return open_benchmark(tmp_path)["Blobs"]


def never(*_: object, **__: object) -> None:
    raise AssertionError("trained before the test set was looked at")


@pytest.mark.parametrize(
    "function",
    [
        lambda model, task: d2.evaluate(model, task, 2, 1),
        lambda model, task: d2.audit(model, task, 2),
        lambda model, task: compare({"a": model}, task, 2, 2),
        lambda model, task: support_lottery(model, task, 2, 3),
        lambda model, task: contamination_experiment({"a": model}, task, task, 2, 2),
        lambda model, task: d2.optimism_report(model, {}, task, never, shots=2, epochs=1),
    ],
)
def test_it_is_refused_by_every_function_that_compares_the_classes(
    function: Callable[[d2.D24FAD, Task], object], model: d2.D24FAD, task: Task
) -> None:
    with pytest.raises(ValueError, match="'Blobs' has .* test images and no (normal|anomalous) one"):
        function(model, task)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("groups", [None, ["a", "b", "b"]])
def test_no_interval_without_both_classes(label: int, groups: list[str | None] | None) -> None:
    with pytest.raises(ValueError, match="must hold both classes"):
        bootstrap_auroc(np.full(3, label), np.zeros((2, 3)), groups=groups)
