"""One small task and an untrained detector, shared by the tests of the interactive part."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from d24fad_lite.data.benchmark import Task, open_benchmark


@pytest.fixture
def task(tiny_root: Path) -> Task:
    """10 normal training images, 5 + 5 test images of 32 px with masks; opened anew for each test."""
    return open_benchmark(tiny_root)["Blobs"]


@pytest.fixture(scope="session")
def model():  # noqa: ANN201
    """An untrained detector for 32-px images; never changed by a test."""
    d2 = importlib.import_module("d24fad_lite")
    config = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=32, blur_sigma=1.0)
    return d2.D24FAD(config).eval()
