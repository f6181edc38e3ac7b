"""Training: repeatable to the bit, blind to the test set, early to stop, honest about bad settings."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from small_run import CONFIG, SETTINGS, Weights, equal, trained, weights
from torch import Tensor, nn

import d24fad_lite as d2
from d24fad_lite.data.benchmark import Task
from d24fad_lite.training.episodes import EpisodeSampler
from d24fad_lite.training.learner import Learner
from d24fad_lite.training.run import TrainingRun
from d24fad_lite.training.validation import hold_out

# -- repeatable -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_bit_by_bit(bench: d2.Benchmark, uninterrupted: Weights) -> None:
    torch.manual_seed(99)  # the state of the process's generators plays no part
    np.random.seed(99)  # noqa: NPY002 (the old state is what is meant)
    assert equal(trained(bench), uninterrupted)


def test_seed_0_is_a_seed_and_another_seed_gives_other_weights(bench: d2.Benchmark, uninterrupted: Weights) -> None:
    assert not equal(trained(bench, seed=1), uninterrupted)
    assert not equal(trained(bench, CONFIG.replace(seed=1)), uninterrupted)


def test_training_leaves_the_process_generators_alone(bench: d2.Benchmark) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained(bench, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_training_moves_student_and_weighting_and_lowers_the_loss(bench: d2.Benchmark) -> None:
    model = d2.D24FAD(CONFIG)
    before = weights(model)
    history = d2.fit(model, bench, **(SETTINGS | {"epochs": 6}))
    losses = [row["loss"] for row in history.rows]
    assert losses[-1] < losses[0] and history.final_loss == losses[-1]
    assert all(row["loss"] == pytest.approx(row["loss_ssd"] + 0.1 * row["loss_tsd"], rel=1e-5) for row in history.rows)
    moved = {name for name, tensor in weights(model).items() if not torch.equal(tensor, before[name])}
    assert {n for n in before if n.endswith("weight")} <= moved
    assert not model.training and not any(module.training for module in model.modules())


def test_where_features_are_kept_changes_nothing_but_rounding(
    bench: d2.Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path))
    # Small steps: Adam's first ones divide a gradient by itself, and would make of a rounded feature another weight.
    losses = {
        place: d2.fit(d2.D24FAD(CONFIG), bench, **(SETTINGS | {"cache": place, "lr": 1e-6})).rows[0]["loss"]
        for place in ("memory", "disk", "off")
    }
    assert losses["off"] == pytest.approx(losses["memory"], rel=1e-4)
    assert losses["disk"] == pytest.approx(losses["memory"], rel=1e-2)  # float16 on disk, and three steps


# -- validation, early stop, the test set -----------------------------------------------------------------------------


def scripted_validation(patch: pytest.MonkeyPatch, values: list[float]) -> None:
    script = iter(values)
    patch.setattr(Learner, "validate", lambda self, batches: next(script))


def test_training_stops_when_the_validation_loss_no_longer_falls_and_keeps_the_best_epoch(
    bench: d2.Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_validation(monkeypatch, [3.0, 1.0, 2.0, 1.5, 0.1])
    model, seen = d2.D24FAD(CONFIG), []
    history = d2.fit(
        model,
        bench,
        **(SETTINGS | {"epochs": 9, "validation": 0.3, "patience": 2}),
        on_epoch=lambda epoch, m: seen.append(weights(m)),
    )
    assert len(history) == 4 and history.best_epoch == history.kept_epoch == 2
    assert equal(weights(model), seen[1]) and not equal(weights(model), seen[3])


def test_a_run_that_stopped_early_stays_stopped_when_called_again(bench: d2.Benchmark, tmp_path: Path) -> None:
    settings = SETTINGS | {"epochs": 9, "validation": 0.3, "patience": 1, "out": tmp_path}
    with pytest.MonkeyPatch.context() as patch:
        scripted_validation(patch, [1.0, 2.0])
        first = trained(bench, **settings)
        again = d2.D24FAD(CONFIG)
        history = d2.fit(again, bench, **settings)
    assert len(history) == 2 and history.kept_epoch == 1 and equal(weights(again), first)


def test_the_validation_loss_is_that_of_held_out_normal_training_images_in_eval_mode(bench: d2.Benchmark) -> None:
    model = d2.D24FAD(CONFIG)
    history = d2.fit(model, bench, **(SETTINGS | {"validation": 0.3}))
    _, held = hold_out([task.train for task in bench.values()], 0.3, 2, 0)
    sampler = EpisodeSampler([10, 10], 2, 8, 0, indices=held)
    images = torch.cat([task.train.images(32) for task in bench.values()])
    total = count = 0
    with torch.no_grad():
        for batch in sampler.epoch(0):
            out = model(images[batch.queries], images[batch.supports.ravel()].unflatten(0, batch.supports.shape))
            total, count = total + float(out.loss) * len(batch), count + len(batch)
    assert history.rows[-1]["val_loss"] == pytest.approx(total / count, rel=1e-4)
    assert all(math.isnan(row["val_loss"]) for row in d2.fit(d2.D24FAD(CONFIG), bench, **SETTINGS).rows)


def test_held_out_images_take_no_part_in_training(bench: d2.Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, held = hold_out([task.train for task in bench.values()], 0.3, 2, 0)
    assert all(len(set(k) & set(h)) == 0 and len(k) + len(h) == 10 for k, h in zip(kept, held, strict=True))
    used: set[int] = set()
    original = Learner.step

    def watch(self: Any, batch: Any, share: float = 1.0) -> Any:
        used.update(batch.queries.tolist(), batch.supports.ravel().tolist())
        return original(self, batch, share)

    monkeypatch.setattr(Learner, "step", watch)
    trained(bench, validation=0.3)
    assert used == {*kept[0].tolist(), *(10 + kept[1]).tolist()}


def test_the_test_set_is_never_looked_at(
    tiny_root: Path, uninterrupted: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_root, tmp_path / "data")
    own = d2.open_benchmark(tmp_path / "data")
    for name in own:
        shutil.rmtree(tmp_path / "data" / name / "test")

    def forbidden(self: Task) -> NoReturn:
        raise AssertionError("fit looked at a test set")

    monkeypatch.setattr(Task, "test", property(forbidden), raising=False)
    with pytest.raises(AssertionError, match="looked at"):
        own["Blobs"].test  # noqa: B018 (the trap works)
    assert equal(trained(own), uninterrupted)
    trained(own, validation=0.3, patience=1)


# -- precision, optimisers, episodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_one_step_is_that_of_torchs_optimiser(
    name: str, kind: Callable[..., torch.optim.Optimizer], bench: d2.Benchmark
) -> None:
    found = trained(bench, epochs=1, batch_size=20, cache="off", optimizer=name, lr=1e-2)
    model = d2.D24FAD(CONFIG).train()
    (batch,) = EpisodeSampler([10, 10], 2, 20, 0).epoch(0)
    images = torch.cat([task.train.images(32) for task in bench.values()])
    optimizer = kind([p for p in model.parameters() if p.requires_grad], lr=1e-2, betas=(0.5, 0.999))
    model(images[batch.queries], images[batch.supports.ravel()].unflatten(0, batch.supports.shape)).loss.backward()
    optimizer.step()
    norms = [n for n in found if "running" in n]
    assert all(torch.allclose(found[n], t, atol=1e-5) for n, t in weights(model).items() if n in norms)
    steps = [(found[n] - t).abs().gt(1e-3).float().mean() for n, t in weights(model).items() if t.ndim == 4]
    assert max(steps) < 0.02  # Adam's first step is lr times the gradient's sign: rounding flips that of a tiny one


def test_adam_and_adamw_differ(bench: d2.Benchmark, uninterrupted: Weights) -> None:
    assert not equal(trained(bench, optimizer="adamw"), uninterrupted)


def test_bf16_is_near_fp32_repeatable_and_leaves_a_float32_model(bench: d2.Benchmark) -> None:
    rows, states = [], []
    for precision in ("fp32", "bf16", "bf16"):
        model = d2.D24FAD(CONFIG)
        rows.append(d2.fit(model, bench, **(SETTINGS | {"precision": precision})).rows)
        states.append(weights(model))
    assert rows[1][0]["loss"] == pytest.approx(rows[0][0]["loss"], rel=0.05) and rows[1] != rows[0]
    assert not equal(states[0], states[1]) and equal(states[1], states[2])
    assert all(t.dtype == torch.float32 for t in states[1].values() if t.is_floating_point())
    assert model(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)).loss.dtype == torch.float32


def test_in_batch_episodes_give_the_loss_of_the_same_supports_given_explicitly(bench: d2.Benchmark) -> None:
    model = d2.D24FAD(CONFIG)
    d2.fit(model, bench, **(SETTINGS | {"episodes": "in-batch"}))
    images = torch.cat([task.train.images(32) for task in bench.values()])
    for batch in EpisodeSampler([10, 10], 2, 8, 0, "in-batch").epoch(1):
        queries = images[batch.queries]
        rows = torch.as_tensor(batch.support_rows)
        inside = model(queries, support_rows=rows)
        explicit = model(queries, images[batch.supports.ravel()].unflatten(0, batch.supports.shape))
        for name in ("loss", "loss_tsd", "loss_ssd", "weights"):
            assert torch.allclose(getattr(inside, name), getattr(explicit, name), atol=1e-5), name
        for a, b in zip(inside.fused_features, explicit.fused_features, strict=True):
            assert torch.allclose(a, b, atol=1e-4)


def test_the_released_codes_fixed_supports_stay_the_same_over_epochs(
    bench: d2.Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[dict[int, tuple[int, ...]]]] = {"fixed": [], "redrawn": []}
    original = Learner.step

    def watch(self: Any, batch: Any, share: float = 1.0) -> Any:
        drawn = {int(q): tuple(batch.supports[:, b].tolist()) for b, q in enumerate(batch.queries)}
        seen[self.model.config.train_supports].append(drawn)
        return original(self, batch, share)

    monkeypatch.setattr(Learner, "step", watch)
    for way in seen:
        trained(bench, CONFIG.replace(train_supports=way))
        first, second = ({q: s for drawn in part for q, s in drawn.items()} for part in (seen[way][:3], seen[way][3:]))
        assert first.keys() == second.keys() == set(range(20))
        assert (first == second) == (way == "fixed")


def test_a_module_of_ones_own_can_be_the_teacher(bench: d2.Benchmark, tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 4, 4)
            nn.init.constant_(self.conv.weight, 0.1)

        def forward(self, x: Tensor) -> list[Tensor]:
            x = self.conv(x)
            return [x, nn.functional.avg_pool2d(x, 2)]

    model = d2.D24FAD(d2.D24FADConfig(teacher=Own(), image_size=32))
    assert len(d2.fit(model, bench, out=tmp_path, **SETTINGS)) == 2


# -- bad settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0 must be a whole number, at least 1"),
        ({"epochs": 1.5}, "epochs=1.5 must be a whole number"),
        ({"shots": 0}, "shots must be a whole number of at least 1, got 0"),
        ({"shots": 10}, "task 'Blobs' has 10 normal training images, 10 shots need at least 11"),
        ({"lr": 0}, "lr=0 must be greater than 0"),
        ({"lr": float("nan")}, "lr=nan must be greater than 0"),
        ({"optimizer": "sgd"}, "optimizer='sgd' is not known; choose one of 'adam', 'adamw'"),
        ({"precision": "int8"}, "precision='int8' is not known"),
        ({"episodes": "in-bach"}, r"episodes='in-bach' is not known; .* \(did you mean 'in-batch'\?\)"),
        ({"cache": "ram"}, "cache='ram' is not known; choose one of 'auto', 'memory', 'disk', 'off'"),
        ({"patience": 2}, "patience needs a validation loss"),
        ({"patience": 0, "validation": 0.3}, "patience=0 must be at least 1"),
        ({"validation": 1.0}, "validation=1.0 must lie between 0 and 1"),
        ({"validation": 0.9}, "leaves 1 for training, and 2 shots need 3"),
    ],
)
def test_settings_that_cannot_work_are_told_what_can(
    changes: dict[str, Any], message: str, bench: d2.Benchmark
) -> None:
    with pytest.raises(ValueError, match=message):
        d2.fit(d2.D24FAD(CONFIG), bench, **(SETTINGS | changes))


def test_no_tasks_are_an_error() -> None:
    with pytest.raises(ValueError, match="got no training tasks"):
        d2.fit(d2.D24FAD(CONFIG), {})


def test_an_output_folder_that_cannot_be_written_stops_the_run_before_its_first_step(
    bench: d2.Benchmark, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_epoch", lambda *_: pytest.fail("trained before the folder was tried"))
        with pytest.raises(OSError, match="cannot write .*choose a folder that can be written"):
            trained(bench, out=tmp_path / "file" / "run")
