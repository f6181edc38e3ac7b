"""Averaged weights: a closed form, exact resume, and what of a run sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model.checkpoint import read_tensors
from d24fad_lite.training.averaging import WeightAverage
from d24fad_lite.training.state import STATE_FILE

CONFIG = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=32)
NAME = "weighting.proj_in1.weight"
SHORT = dict(shots=2, batch_size=8, episodes="in-batch", progress=False, lr=1e-3)


def weights_after(model: d2.D24FAD) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def fill(model: d2.D24FAD, value: float) -> None:
    with torch.no_grad():
        model.weighting.get_parameter("proj_in1.weight").fill_(value)


def test_average_of_a_ramp_has_its_closed_form() -> None:
    model, decay, steps = d2.D24FAD(CONFIG), 0.75, 12
    average = WeightAverage(model, decay)
    for t in range(1, steps + 1):
        fill(model, float(t))
        average.update()
    # The mean of 1 .. 4 is 2.5; from there a ramp is followed at the distance decay / (1 - decay) = 3, reached slowly.
    expected = steps - 3 + (2.5 - (4 - 3)) * decay ** (steps - 4)
    assert average.average[NAME].flatten()[0].item() == pytest.approx(expected, rel=1e-6)


def test_first_steps_are_a_plain_mean_without_the_initial_weights() -> None:
    model = d2.D24FAD(CONFIG)
    average = WeightAverage(model, 0.99)
    for value in (3.0, 5.0, 10.0):
        fill(model, value)
        average.update()
    assert average.average[NAME].flatten()[0].item() == pytest.approx(6.0, rel=1e-6)


def test_model_has_its_own_weights_again_after_the_average_was_applied() -> None:
    model = d2.D24FAD(CONFIG)
    average = WeightAverage(model, 0.9)
    fill(model, 1.0)
    average.update()
    fill(model, 2.0)

    def fail_within() -> None:
        with average.applied():
            assert model.trainable_state_dict()[NAME].flatten()[0] == 1
            raise RuntimeError("even where the block fails")

    with pytest.raises(RuntimeError):
        fail_within()
    assert model.trainable_state_dict()[NAME].flatten()[0] == 2


def test_run_ends_with_the_mean_of_its_steps_and_leaves_the_path_of_training_alone(
    tiny_root: Path, tmp_path: Path
) -> None:
    bench = d2.open_benchmark(tiny_root)
    plain, averaged, path = d2.D24FAD(CONFIG), d2.D24FAD(CONFIG), []
    d2.fit(plain, bench, epochs=2, out=tmp_path / "plain", **SHORT)
    watched = WeightAverage.update

    def watch(self: WeightAverage) -> None:
        watched(self)
        path.append(self.model.trainable_state_dict()[NAME].clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightAverage, "update", watch)
        d2.fit(averaged, bench, epochs=2, ema=0.999, out=tmp_path / "averaged", **SHORT)
    assert len(path) > 2
    torch.testing.assert_close(averaged.trainable_state_dict()[NAME], torch.stack(path).mean(dim=0))
    stored, _ = read_tensors(tmp_path / "averaged" / STATE_FILE)
    for name, tensor in plain.trainable_state_dict().items():
        assert torch.equal(stored[f"model.{name}"], tensor), name
    assert not torch.equal(averaged.trainable_state_dict()[NAME], plain.trainable_state_dict()[NAME])


def test_resumed_run_ends_with_the_same_average_bit_by_bit(tiny_root: Path, tmp_path: Path) -> None:
    bench = d2.open_benchmark(tiny_root)
    whole, first, second = (d2.D24FAD(CONFIG) for _ in range(3))
    d2.fit(whole, bench, epochs=3, ema=0.8, out=tmp_path / "whole", **SHORT)
    d2.fit(first, bench, epochs=1, ema=0.8, out=tmp_path / "cut", **SHORT)
    d2.fit(second, bench, epochs=3, ema=0.8, out=tmp_path / "cut", **SHORT)
    for name, tensor in whole.trainable_state_dict().items():
        assert torch.equal(second.trainable_state_dict()[name], tensor), name


def test_validation_loss_callback_and_best_epoch_see_the_average(tiny_root: Path) -> None:
    bench = d2.open_benchmark(tiny_root)
    model, seen = d2.D24FAD(CONFIG), []
    history = d2.fit(
        model,
        bench,
        epochs=3,
        ema=0.8,
        validation=0.3,
        patience=3,
        on_epoch=lambda epoch, m: seen.append(weights_after(m)),
        **SHORT,
    )
    for name, tensor in model.trainable_state_dict().items():
        assert torch.equal(seen[history.kept_epoch - 1][name], tensor), name


def test_state_of_another_decay_is_refused_by_name(tiny_root: Path, tmp_path: Path) -> None:
    bench = d2.open_benchmark(tiny_root)
    d2.fit(d2.D24FAD(CONFIG), bench, epochs=1, ema=0.8, out=tmp_path, **SHORT)
    with pytest.raises(ValueError, match="ema: stored 0.8, asked for None"):
        d2.fit(d2.D24FAD(CONFIG), bench, epochs=2, out=tmp_path, **SHORT)


def test_decay_out_of_range_is_an_error(tiny_root: Path) -> None:
    with pytest.raises(ValueError, match=r"ema=1\.0 must be at least 0 \(off\) and below 1"):
        d2.fit(d2.D24FAD(CONFIG), d2.open_benchmark(tiny_root), ema=1.0)
