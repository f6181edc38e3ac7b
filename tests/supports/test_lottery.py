"""The lottery of support sets: an evaluation with many draws, what of the best set is luck, and the effect of shots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_reports import toy_report

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.supports.lottery import SupportLottery, effect_of_shots, support_lottery


@pytest.fixture(scope="module")
def task(tiny_root: Path) -> Task:
    return open_benchmark(tiny_root)["Stripes"]


@pytest.fixture(scope="module")
def scorer() -> MeanFeature:
    return MeanFeature(D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32)))


@pytest.fixture(scope="module")
def lottery(scorer: MeanFeature, task: Task) -> SupportLottery:
    return support_lottery(scorer, task, shots=2, draws=60, seed=3)


def test_the_lottery_is_an_evaluation_with_many_draws_sorted(
    lottery: SupportLottery, scorer: MeanFeature, task: Task
) -> None:
    plain = evaluate(scorer, task, 2, 60, 3, pixel=False)
    np.testing.assert_allclose(lottery.report.scores, plain.scores, atol=1e-5)
    best = evaluate(scorer, task, supports=lottery.best(1)).auroc
    assert best == max(plain.aurocs) == lottery.spread["best"] == lottery.to_frame()["auroc"][0]
    assert evaluate(scorer, task, supports=lottery.worst(1)).auroc == min(plain.aurocs)
    figure = lottery.figure(task, count=2)
    assert len(figure.axes) == 1 + 4 * 2 and "60 support sets" in lottery.summary()


def test_luck_is_told_from_a_property_of_the_set() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    lucky = SupportLottery(toy_report("m", rng.normal(size=(100, 80)) + labels, labels)).best_on_held_out()
    assert lucky["chosen"] - lucky["mean"] > 0.08 and abs(lucky["held out"] - lucky["mean"]) < 0.04
    good = rng.normal(size=(100, 80)) + labels
    good[7] += 3 * labels  # one set is truly better
    real = SupportLottery(toy_report("m", good, labels)).best_on_held_out()
    assert real["held out"] - real["mean"] > 0.15


def test_the_effect_of_a_support_is_the_difference_of_means(lottery: SupportLottery) -> None:
    row = lottery.support_effects().iloc[0]
    drawn = [row["support"] in s for s in lottery.report.supports]
    with_it = [a for a, d in zip(lottery.report.aurocs, drawn, strict=True) if d]
    without = [a for a, d in zip(lottery.report.aurocs, drawn, strict=True) if not d]
    assert row["effect"] == pytest.approx(np.mean(with_it) - np.mean(without)) and row["draws"] == len(with_it)


def test_more_shots_are_compared_on_nested_draws(scorer: MeanFeature, task: Task) -> None:
    frame = effect_of_shots(scorer, task, shots=(4, 2), draws=3)
    assert frame["K"].tolist() == [2, 4] and np.isnan(frame["gain"][0])
    assert frame["gain"][1] == pytest.approx(frame["AUROC"][1] - frame["AUROC"][0])
    with pytest.raises(ValueError, match="11 shots need at least 11"):
        effect_of_shots(scorer, task, shots=(2, 11))
