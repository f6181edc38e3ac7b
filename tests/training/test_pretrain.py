"""The embedded teacher's pre-training: pictures by seed, exact resume, and how its weights are shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from d24fad_lite.model.checkpoint import CheckpointError, WeightsError, read_tensors, write_tensors
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weights import embedded
from d24fad_lite.model.weights.embedded import dequantize, embedded_catalog, embedded_state_dict, quantize
from d24fad_lite.training.pretrain import export as export_module
from d24fad_lite.training.pretrain.export import export
from d24fad_lite.training.pretrain.fractals import PERTURBATION, find_class, fractal_bank, render
from d24fad_lite.training.pretrain.recipe import STATE_FILE, Recipe, Stage, Trainer, pretrain
from d24fad_lite.training.pretrain.views import draw_views

STAGES = (Stage(steps=3, lr=1e-3), Stage(steps=2, lr=5e-4, texture=0.0, ramp=0.0))
RECIPE = Recipe(
    architecture="test_resnet",
    classes=3,
    instances=4,
    bank_size=32,
    image_size=32,
    stages=STAGES,
    batch_size=6,
    precision="fp32",
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return fractal_bank(tmp_path_factory.mktemp("bank") / "f.npy", 3, 4, 32, seed=0, workers=1, progress=False)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return pretrain(tmp_path / "run", RECIPE, device="cpu", progress=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty place for embedded weights, instead of the package's own."""
    home = tmp_path / "weights"
    home.mkdir()
    monkeypatch.setattr(embedded, "FOLDER", home)
    embedded_catalog.cache_clear()
    yield home
    embedded_catalog.cache_clear()


# -- fractals -------------------------------------------------------------------------------------------------------


def test_fractals_are_bit_identical_by_seed_however_many_processes_draw_them(bank: np.ndarray, tmp_path: Path) -> None:
    again = fractal_bank(tmp_path / "f.npy", 3, 4, 32, seed=0, workers=2, progress=False)
    other = fractal_bank(tmp_path / "g.npy", 3, 4, 32, seed=1, workers=1, progress=False)
    assert bank.dtype == np.uint8 and np.array_equal(bank, again)
    assert all(not np.array_equal(a, b) for a, b in zip(bank, other, strict=True))


def test_more_classes_and_instances_leave_the_first_ones_as_they_are(bank: np.ndarray, tmp_path: Path) -> None:
    larger = fractal_bank(tmp_path / "f.npy", 4, 5, 32, seed=0, workers=1, progress=False)
    assert np.array_equal(larger[:3, :4], bank)


def test_instances_of_a_class_differ_but_less_than_classes_do() -> None:
    def soft(picture: np.ndarray) -> np.ndarray:
        blocks = picture.astype(float).reshape(8, 4, 8, 4).mean(axis=(1, 3)).ravel()
        return (blocks - blocks.mean()) / blocks.std()

    systems = [find_class(0, number, 32) for number in range(6)]
    pictures = [
        [soft(render(s.points(np.random.default_rng([n, i]), PERTURBATION), 32)) for i in range(4)]
        for n, s in enumerate(systems)
    ]
    flat = np.array(pictures)  # (classes, instances, pixels)
    within = [np.mean((flat[c, i] - flat[c, j]) ** 2) for c in range(6) for i in range(4) for j in range(i)]
    between = [np.mean((flat[c, i] - flat[d, i]) ** 2) for c in range(6) for d in range(c) for i in range(4)]
    assert min(within) > 0.001 and np.mean(within) < 0.8 * np.mean(between)


def test_every_class_fills_enough_of_its_picture(bank: np.ndarray) -> None:
    assert (bank > 0).mean(axis=(2, 3)).min() > 0.05 and bank.max(axis=(2, 3)).min() == 255


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("d24fad_lite.training.pretrain.fractals.tqdm", stop)
    with pytest.raises(KeyboardInterrupt):
        fractal_bank(tmp_path / "f.npy", 2, 1, 32, seed=0, workers=1, progress=False)
    assert list(tmp_path.iterdir()) == []


# -- views ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardness", [0.0, 0.5, 1.0])
def test_views_are_colour_images_in_range_the_same_by_seed(hardness: float, bank: np.ndarray) -> None:
    densities = torch.from_numpy(bank.reshape(12, 1, 32, 32).astype(np.float32) / 255)
    first, again, other = (draw_views(densities, 24, torch.Generator().manual_seed(s), hardness) for s in (0, 0, 1))
    assert first.shape == (12, 3, 24, 24) and first.dtype == torch.float32
    assert float(first.min()) >= 0 and float(first.max()) <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.std(dim=(2, 3)).amax(dim=1).min() > 0.02  # the fractal can be seen in each
    grey = (first - first.mean(dim=1, keepdim=True)).abs().mean(dim=(1, 2, 3)) < 0.05
    assert not grey.all()


def test_harder_views_move_the_fractal_and_the_easiest_do_not(bank: np.ndarray) -> None:
    density = torch.from_numpy(bank[:1, :1].astype(np.float32) / 255).expand(8, 1, 32, 32)

    def likeness(hardness: float) -> float:
        views = draw_views(density, 32, torch.Generator().manual_seed(0), hardness).mean(dim=1).flatten(1)
        return float(
            torch.stack([torch.corrcoef(torch.stack([v, density[0].flatten()]))[0, 1].abs() for v in views]).mean()
        )

    assert likeness(0.0) > 0.99 > 0.9 > likeness(1.0)


# -- the run --------------------------------------------------------------------------------------------------------


def test_each_stage_has_its_own_steps_rate_and_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (Stage(steps=4, lr=1e-2, texture=0.3, ramp=0.5), Stage(steps=3, lr=1e-3, texture=0.0, ramp=0.0))
    recipe = replace(RECIPE, stages=stages)
    assert recipe.steps == 7 and [recipe.at(i)[1] for i in range(7)] == [0, 1, 2, 3, 0, 1, 2]
    with pytest.raises(IndexError, match="after 7 steps"):
        recipe.at(7)
    seen, original = [], draw_views
    monkeypatch.setattr(
        "d24fad_lite.training.pretrain.recipe.draw_views",
        lambda d, size, g, hardness, texture, *a: (
            seen.append((hardness, texture)) or original(d, size, g, hardness, texture, *a)
        ),
    )
    trainer, rates = Trainer(recipe, tmp_path, torch.device("cpu"), progress=False), []
    for _ in range(7):
        trainer.step()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert seen == [(0.0, 0.3), (0.5, 0.3), (1.0, 0.3), (1.0, 0.3), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0)]
    cosine = [0.5 * (1 + np.cos(np.pi * i / n)) * lr for n, lr in ((4, 1e-2), (3, 1e-3)) for i in range(n)]
    np.testing.assert_allclose(rates, cosine)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "EVERY", 2)
    original, done = Trainer.step, []

    def step(self: Trainer) -> tuple[float, float]:
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path / "cut", RECIPE, device="cpu", progress=False)
    assert read_tensors(tmp_path / "cut" / STATE_FILE)[1]["progress"]["step"] == 2
    resumed = pretrain(tmp_path / "cut", RECIPE, device="cpu", progress=False)
    (a, facts), (b, expected) = read_tensors(resumed), read_tensors(result)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert facts["recipe"] == expected["recipe"] and facts["steps"] == 5


def test_the_result_is_the_backbone_without_its_classifier(result: Path) -> None:
    tensors, _ = read_tensors(result)
    assert tensors.keys() == timm.create_model("test_resnet", num_classes=0).state_dict().keys()
    start = timm.create_model("test_resnet", num_classes=0).state_dict()
    assert any(not torch.equal(tensors[name], start[name]) for name in tensors)


def test_another_recipe_in_the_same_folder_is_refused_and_a_fresh_start_is_truly_one(
    result: Path, tmp_path: Path
) -> None:
    other = replace(RECIPE, seed=1)
    with pytest.raises(CheckpointError, match="belongs to another recipe.*resume=False to begin anew"):
        pretrain(result.parent, other, device="cpu", progress=False)
    anew = read_tensors(pretrain(result.parent, other, device="cpu", resume=False, progress=False))[0]
    clean = read_tensors(pretrain(tmp_path / "clean", other, device="cpu", progress=False))[0]
    assert all(torch.equal(anew[name], clean[name]) for name in clean)  # the other seed's fractals were not used


# -- shipped weights ------------------------------------------------------------------------------------------------


def test_rounding_to_int8_errs_by_half_a_step_at_most() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-4, 3, 16).view(16, 1, 1, 1)
    tensors: dict[str, Tensor] = {
        "conv": torch.randn(16, 8, 3, 3, generator=generator) * sizes,
        "bias": torch.randn(4000, generator=generator),
        "small": torch.randn(4, 4, generator=generator),
    }
    tensors["conv"][3] = 0
    stored = quantize(tensors)
    assert stored["conv"].dtype == torch.int8 and torch.equal(stored["bias"], tensors["bias"])
    back = dequantize(stored)
    assert back.keys() == tensors.keys() and torch.equal(back["small"], tensors["small"])
    step = tensors["conv"].abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert bool(((back["conv"] - tensors["conv"]).abs() <= 0.5001 * step).all())
    assert torch.equal(back["conv"][3], torch.zeros(8, 3, 3))


def test_an_exported_teacher_is_what_weights_embedded_gives(result: Path, folder: Path) -> None:
    path = export(result, folder)
    entry = embedded_catalog()["test_resnet"]
    assert entry["file"] == path.name and entry["bytes"] == path.stat().st_size
    assert entry["recipe"]["seed"] == 0 and entry["steps"] == 5
    trained, found = read_tensors(result)[0], embedded_state_dict("test_resnet")
    assert set(found) == {name for name in trained if not name.endswith("num_batches_tracked")}
    assert all(float((found[n] - trained[n]).abs().max()) <= 0.004 * float(trained[n].abs().max()) for n in found)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    given, whole = (Teacher("test_resnet", weights, 64)(images).embedding for weights in ("embedded", str(result)))
    assert float((given - whole).norm() / whole.norm()) < 0.05
    assert not torch.allclose(Teacher("test_resnet", "random", 64)(images).embedding, given, atol=1e-2)


def test_a_second_teacher_joins_the_catalog(result: Path, folder: Path) -> None:
    export(result, folder)
    tensors, facts = read_tensors(result)
    facts["recipe"]["architecture"] = "another"
    export(write_tensors(folder.parent / "another.safetensors", tensors, facts), folder)
    assert list(json.loads((folder / "catalog.json").read_text())) == ["another", "test_resnet"]


def test_a_damaged_file_of_weights_is_refused(result: Path, folder: Path) -> None:
    path = export(result, folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="is damaged: its sha256 is not the one in catalog.json"):
        embedded_state_dict("test_resnet")


def test_a_backbone_without_embedded_weights_is_told_which_have_some(result: Path, folder: Path) -> None:
    export(result, folder)
    for ask in (lambda: embedded_state_dict("resnet50"), lambda: Teacher("resnet50", "embedded", 64)):
        with pytest.raises(WeightsError, match="no weights of 'resnet50' are embedded; those of test_resnet are"):
            ask()


def test_a_file_that_is_too_large_to_ship_is_not_kept(
    result: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "LIMIT", 1000)
    with pytest.raises(ValueError, match="test_resnet takes .* MB as int8, more than"):
        export(result, folder)
    assert list(folder.iterdir()) == []
