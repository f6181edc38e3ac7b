"""Data sets shared by the tests: tiny, written once per run, never changed by a test."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from d24fad_lite.data.benchmark import Task, open_benchmark

TINY_TASKS = ("Stripes", "Blobs")
TINY_TRAIN, TINY_TEST_GOOD, TINY_TEST_BAD, TINY_SIZE = 10, 5, 5, 32


def tiny_image(task: int, index: int, bad: bool) -> tuple[np.ndarray, np.ndarray]:
    """One uint8 [32, 32, 3] image and its bool [32, 32] mask: waves (task 0) or noise (1), a bright square if bad."""
    rng = np.random.default_rng([task, index, int(bad)])
    rows, columns = np.mgrid[:TINY_SIZE, :TINY_SIZE]
    base = 100 + 50 * np.sin((columns if task == 0 else rows + columns) / (2 + task) + rng.uniform(0, 6))
    image = base[:, :, None] + rng.normal(0, 12, (TINY_SIZE, TINY_SIZE, 3))
    mask = np.zeros((TINY_SIZE, TINY_SIZE), bool)
    if bad:
        top, left = rng.integers(2, TINY_SIZE - 10, 2)
        mask[top : top + 8, left : left + 8] = True
        image[mask] += 90
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_tiny_task(folder: Path, task: int) -> None:
    """One task in the kit's own layout: 10 train normal, 5 test normal, 5 test anomalous with masks, 32 px PNG."""
    parts = (("train/good", TINY_TRAIN, False), ("test/good", TINY_TEST_GOOD, False), ("test/bad", TINY_TEST_BAD, True))
    (folder / "test/mask").mkdir(parents=True)
    offset = 0
    for part, count, bad in parts:
        (folder / part).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, mask = tiny_image(task, offset + index, bad)
            Image.fromarray(image).save(folder / part / f"{index:03d}.png")
            if bad:
                Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "test/mask" / f"{index:03d}.png")
        offset += count


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark folder with two tasks, "Blobs" and "Stripes", of 32-px images. Read only: copy before changing."""
    root = tmp_path_factory.mktemp("tiny")
    for task, name in enumerate(TINY_TASKS):
        write_tiny_task(root / name, task)
    return root


@pytest.fixture
def task(tiny_root: Path) -> Task:
    """10 normal training images, 5 + 5 test images of 32 px with masks; opened anew for each test."""
    return open_benchmark(tiny_root)["Blobs"]


@pytest.fixture(scope="session")
def model():
    """An untrained detector for 32-px images; never changed by a test."""
    d2 = importlib.import_module("d24fad_lite")
    config = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=32, blur_sigma=1.0)
    return d2.D24FAD(config).eval()
