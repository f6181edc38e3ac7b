"""Data sets shared by the tests: tiny, written once per run, never changed by a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
