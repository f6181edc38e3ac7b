"""The learning rate over a run, and that a stopped run goes on along the same curve."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from small_run import CONFIG, SETTINGS, Weights, equal, trained, weights

import d24fad_lite as d2
from d24fad_lite.training.learner import Learner
from d24fad_lite.training.run import TrainingRun
from d24fad_lite.training.schedule import learning_rate


def test_cosine_rises_over_a_twentieth_of_the_steps_and_ends_near_nothing() -> None:
    rates = [learning_rate(step, 100, 2e-3, "cosine") for step in range(100)]
    assert rates[:5] == pytest.approx([4e-4, 8e-4, 1.2e-3, 1.6e-3, 2e-3])
    assert rates[5] == pytest.approx(2e-3) and rates[52] == pytest.approx(1e-3, rel=0.02)
    assert all(a > b for a, b in pairwise(rates[5:])) and 0 < rates[-1] < 2e-6


@pytest.mark.parametrize("steps", [1, 2, 3, 21])
def test_every_length_has_a_rate_above_nothing_at_each_step(steps: int) -> None:
    assert all(0 < learning_rate(step, steps, 1.0, "cosine") <= 1 for step in range(steps))


def test_constant_is_what_a_run_without_a_schedule_does(bench: d2.Benchmark, uninterrupted: Weights) -> None:
    assert equal(trained(bench, lr_schedule="constant"), uninterrupted)
    assert not equal(trained(bench, lr_schedule="cosine"), uninterrupted)


def test_optimiser_follows_the_schedule_step_by_step(bench: d2.Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, step = [], Learner.step

    def watch(self: Any, batch: Any, share: float = 1.0) -> Any:
        seen.append(self.optimizer.param_groups[0]["lr"])
        return step(self, batch, share)

    monkeypatch.setattr(Learner, "step", watch)
    trained(bench, lr_schedule="cosine")
    assert seen == [learning_rate(i, len(seen), 1e-3, "cosine") for i in range(len(seen))] and len(seen) > 3


def test_stopped_run_goes_on_along_the_same_curve(
    bench: d2.Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SETTINGS | dict(lr_schedule="cosine", epochs=3)
    whole = trained(bench, **options)
    epoch_of = TrainingRun._epoch

    def stop(self: Any, epoch: int, bar: Any) -> Any:
        if epoch == 1:
            raise KeyboardInterrupt
        return epoch_of(self, epoch, bar)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(bench, out=tmp_path, **options)
    model = d2.D24FAD(CONFIG)
    d2.fit(model, bench, out=tmp_path, **options)
    assert equal(weights(model), whole)


def test_prolonging_such_a_run_is_refused_by_name_and_a_constant_one_is_not(
    bench: d2.Benchmark, tmp_path: Path
) -> None:
    trained(bench, out=tmp_path / "cosine", lr_schedule="cosine")
    with pytest.raises(ValueError, match="epochs: stored 2, asked for 3"):
        trained(bench, out=tmp_path / "cosine", lr_schedule="cosine", epochs=3)
    with pytest.raises(ValueError, match="lr_schedule: stored 'cosine', asked for None"):
        trained(bench, out=tmp_path / "cosine")
    trained(bench, out=tmp_path / "constant")
    trained(bench, out=tmp_path / "constant", epochs=3)


def test_unknown_schedule_names_the_known_ones(bench: d2.Benchmark) -> None:
    with pytest.raises(ValueError, match=r"lr_schedule='cosin' is not known; .* \(did you mean 'cosine'\?\)"):
        trained(bench, lr_schedule="cosin")
