"""The comparator trained on other tasks: its lesions, its descriptors, and what it must never see."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import d24fad_lite as d2

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import few_normals_trained as trained
from few_normals_view import Encoded, View


@pytest.fixture(scope="module")
def teacher() -> d2.Teacher:
    return d2.Teacher("resnet18", "random", 64).eval()


def _images(count: int, seed: int = 0) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("lesion", trained.LESIONS)
def test_a_lesion_changes_every_image_and_stays_in_range(lesion: trained.Callable) -> None:
    images = _images(4)
    changed = lesion(images, np.random.default_rng(1))
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    assert ((changed - images).abs().amax(dim=(1, 2, 3)) > 0.02).all()
    assert torch.equal(changed, lesion(images, np.random.default_rng(1)))
    assert not torch.equal(changed, lesion(images, np.random.default_rng(2)))


def test_descriptors_are_relative_to_the_supports_and_of_each_image_alone(teacher: d2.Teacher) -> None:
    encoded = Encoded.of(teacher, _images(3, 1), _images(5, 2))
    view = View(encoded, torch.arange(3), torch.tensor([7, 3, 4, 6]))
    rows = trained.described(view)
    assert rows.shape == (3, len(trained.DESCRIPTORS)) and np.isfinite(rows).all()
    alone = trained.described(View(encoded, torch.tensor([1]), view.supports))
    np.testing.assert_allclose(alone[0], rows[1], atol=1e-4)
    usual = np.mean([float(one.mirrored_patches()[0].patches.mean()) for one in view.left_out()])
    expected = np.log(view.mirrored_patches()[0].patches.mean(dim=1).numpy() / usual)
    np.testing.assert_allclose(rows[:, 0], expected, atol=1e-5)


def test_the_task_itself_is_not_trained_on(
    tiny_root: Path, teacher: d2.Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained, "SIDE", 64)
    monkeypatch.setattr(trained, "DRAWS", 2)
    monkeypatch.setattr(trained, "SHOTS", 3)
    monkeypatch.setattr(trained, "SEEDS", (0,))
    monkeypatch.setattr(trained, "TRAINING_QUERIES", 3)
    monkeypatch.setattr(trained, "TRAINING_DRAWS", 2)
    bench = d2.open_benchmark(tiny_root)
    tasks = [bench[name] for name in list(bench)[:2]]
    seen, rows = [], {}
    for task in tasks:
        rows[task.name] = trained.training_rows(task, teacher, 0)
        descriptors, labels = rows[task.name]
        assert descriptors.shape == (2 * 3 * 8, 13) and labels.sum() == 2 * 3 * 7
    fit = trained.fitted
    monkeypatch.setattr(trained, "fitted", lambda each: seen.append(each) or fit(each))
    row = trained._row(tasks, teacher)
    for task, (used,) in zip(tasks, seen, strict=True):
        (other,) = (name for name in rows if name != task.name)
        np.testing.assert_allclose(used[0], rows[other][0])
    assert row.count("|") == 5 and tasks[0].name in row
