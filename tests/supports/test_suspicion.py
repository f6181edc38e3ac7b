"""A support that should not be among the supports: found, and its effect measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.data.samples.world import TASKS
from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.supports.contamination import (
    CONTAMINANTS,
    by_weighting,
    contamination_experiment,
    support_influence,
)
from d24fad_lite.supports.flag_trial import flag_trial
from d24fad_lite.supports.suspicion import (
    SHARE,
    patch_novelty,
    robust_score,
    same_exposure,
    suspicious_supports,
)

SHIPPED = Path(__file__).resolve().parents[2] / "data_samples"


@pytest.fixture(scope="module")
def model() -> D24FAD:
    return D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32))


@pytest.fixture(scope="module")
def task(tiny_root: Path) -> Task:
    return open_benchmark(tiny_root)["Stripes"]


@pytest.fixture(scope="module")
def other(tiny_root: Path) -> Task:
    return open_benchmark(tiny_root)["Blobs"]


def test_a_stranger_among_eight_supports_is_the_most_suspicious(model: D24FAD, task: Task) -> None:
    checks = ((torch.arange(32)[:, None] // 4 + torch.arange(32) // 4) % 2).float().expand(1, 3, -1, -1)
    images = torch.cat([task.train.images(32, range(7)), checks])
    for order in (np.arange(8), np.array([7, 0, 1, 2, 3, 4, 5, 6])):
        found = suspicious_supports(model, images[order])
        assert order[found.order[0]] == 7
    assert found.maps.shape[0] == 8 and found.to_frame([f"{i}.png" for i in order])["name"][0] == "7.png"


def test_a_planted_anomaly_is_flagged_far_better_than_chance(model: D24FAD, task: Task) -> None:
    trial = flag_trial(model, task, shots=8, trials=100)
    assert trial.scores.shape == (100, 8)
    assert trial.auroc > 0.8 and trial.found_first > 3 / 8
    assert "chance 12 %" in trial.summary()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TASKS))
def test_the_flag_is_far_better_than_chance_on_each_shipped_task(name: str) -> None:
    teacher = D24FAD(D24FADConfig(weights="embedded", image_size=128))
    trial = flag_trial(teacher, open_benchmark(SHIPPED)[name], shots=8, trials=100, pool=14)  # few images, for speed
    assert trial.auroc > 0.7 and trial.found_first > 2 / 8, trial.summary()


def test_without_an_anomaly_the_flag_is_at_chance(model: D24FAD, task: Task) -> None:
    images, rng = task.train.images(32), np.random.default_rng(0)
    last = [suspicious_supports(model, images[rng.permutation(10)[:8]]).score for _ in range(60)]
    assert np.mean([row.argmax() == 7 for row in last]) < 0.3


def test_novelty_is_the_distance_to_the_nearest_patch_of_the_others(model: D24FAD) -> None:
    patches = torch.nn.functional.normalize(torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)), dim=2)
    found = patch_novelty(patches)
    for i in range(3):
        for j in range(3):
            for p in range(5):
                expected = min(float((patches[i, p] - q).norm()) for q in patches[j])
                assert found[i, j, p] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("level", [0, 2])
def test_the_score_is_that_of_the_definition(model: D24FAD, task: Task, level: int) -> None:
    images = task.train.images(32, range(6))
    features = model.teacher(same_exposure(images)).levels[level]  # (6, C, H, W)
    centred = features - features.mean(dim=(2, 3), keepdim=True)
    height, width = features.shape[2:]
    local = [
        centred[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean(dim=(2, 3))
        for y in range(height)
        for x in range(width)
    ]
    patches = torch.stack(local, dim=1)  # (6, P, C)
    patches = patches / patches.norm(dim=2, keepdim=True)
    novelty, maps = [], []
    for i in range(6):
        others = torch.cat([patches[j] for j in range(6) if j != i])
        maps.append(torch.cdist(patches[i], others).amin(dim=1))
        oddest = maps[i].sort(descending=True).values[: max(1, round(SHARE * len(maps[i])))]
        novelty.append(float(oddest.mean()))
    middle = np.median(novelty)
    score = (np.array(novelty) - middle) / np.mean(np.abs(novelty - middle))
    found = suspicious_supports(model, images, level=level)
    np.testing.assert_allclose(found.novelty, novelty, rtol=1e-3)
    np.testing.assert_allclose(found.score, score, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(found.maps.reshape(6, -1), torch.stack(maps), atol=1e-2)
    assert list(found.to_frame().columns) == ["support", "score", "novelty"]


def test_exposure_and_tint_do_not_make_a_support_suspicious(model: D24FAD, task: Task) -> None:
    images = task.train.images(32, range(6)) * 0.5 + 0.2
    tinted = images.clone()
    tinted[2] = tinted[2] * torch.tensor([0.8, 0.7, 0.9]).mean() + torch.tensor([0.1, 0.0, -0.05]).view(3, 1, 1)
    torch.testing.assert_close(same_exposure(tinted), same_exposure(images), atol=2e-2, rtol=0)
    plain, changed = (suspicious_supports(model, x).novelty for x in (images, tinted))
    np.testing.assert_allclose(plain, changed, atol=0.03)


def test_equal_supports_are_not_suspicious_and_two_cannot_be_judged(model: D24FAD, task: Task) -> None:
    same = task.train.images(32, [0]).expand(4, -1, -1, -1)
    np.testing.assert_array_equal(suspicious_supports(model, same).score, 0)
    np.testing.assert_allclose(robust_score(np.array([1.0, 1, 2, 1])), [0, 0, 4, 0])
    with pytest.raises(ValueError, match="at least 3 supports"):
        suspicious_supports(model, same[:2])
    with pytest.raises(ValueError, match="level=7"):
        suspicious_supports(model, same, level=7)
    with pytest.raises(ValueError, match="share=0"):
        suspicious_supports(model, same, share=0)


def test_influence_is_the_evaluation_without_the_support(model: D24FAD, task: Task) -> None:
    scorer = NearestPatch(model, maps=False)
    chosen = [1, 4, 6]
    frame = support_influence(scorer, task.train.images(32, chosen), task.test.images(32), task.test.labels)
    full = evaluate(scorer, task, supports=[chosen])
    for k in range(3):
        fewer = evaluate(scorer, task, supports=[[c for c in chosen if c != chosen[k]]])
        assert frame["auroc without"][k] == pytest.approx(fewer.auroc)
        assert frame["effect"][k] == pytest.approx(full.auroc - fewer.auroc)
        shift = np.abs(fewer.scores[0] - full.scores[0]).mean() / full.scores[0].std()
        assert frame["shift"][k] == pytest.approx(shift, rel=1e-3)
    with pytest.raises(ValueError, match="at least 2 supports"):
        support_influence(scorer, task.train.images(32, [0]), task.test.images(32))


def test_a_support_given_twice_has_no_influence_on_the_nearest_patch(model: D24FAD, task: Task) -> None:
    frame = support_influence(NearestPatch(model, maps=False), task.train.images(32, [0, 1, 0]), task.test.images(32))
    assert frame["shift"].tolist()[0] < 1e-3 and frame["shift"].tolist()[2] < 1e-3 < frame["shift"][1]
    assert "effect" not in frame


def test_the_planted_anomaly_is_not_scored_and_the_clean_column_is_the_plain_evaluation(
    model: D24FAD, task: Task, other: Task
) -> None:
    scorer = NearestPatch(model, maps=False)
    frame = contamination_experiment({"n": scorer}, task, other, shots=3, draws=4, seed=2).set_index("contaminant")
    assert list(frame.index) == list(CONTAMINANTS)
    plain = evaluate(scorer, task, 3, 4, 2, pixel=False)
    assert frame.loc["duplicate", "clean"] == pytest.approx(plain.auroc)
    np.testing.assert_allclose(frame["change"], frame["contaminated"] - frame["clean"])
    assert frame.loc["anomaly", "change"] < 0  # squares like it now look familiar


def test_a_duplicate_is_a_set_with_one_support_less(model: D24FAD, task: Task, other: Task) -> None:
    scorer = NearestPatch(model, maps=False)
    frame = contamination_experiment({"n": scorer}, task, other, shots=2, draws=3).set_index("contaminant")
    sets = evaluate(scorer, task, 2, 3, pixel=False).supports
    single = [[evaluate(scorer, task, supports=[[s]]).auroc for s in row] for row in sets.tolist()]
    low, high = np.mean(np.min(single, axis=1)), np.mean(np.max(single, axis=1))
    assert low - 1e-9 <= frame.loc["duplicate", "contaminated"] <= high + 1e-9


def test_every_weighting_is_tried_on_the_same_sets(model: D24FAD, task: Task, other: Task) -> None:
    scorers = by_weighting(model)
    frame = contamination_experiment(scorers, task, other, shots=2, draws=2)
    assert len(frame) == 4 * len(CONTAMINANTS) and set(frame["method"]) == {"learned", "mean", "nearest", "single"}
    mean = evaluate(D24FAD(model.config.replace(weighting="mean")), task, 2, 2).auroc
    assert frame.query("method == 'mean' and contaminant == 'blurred'")["clean"].item() == pytest.approx(mean)
    with pytest.raises(ValueError, match="shots=1"):
        contamination_experiment({"m": MeanFeature(model)}, task, other, shots=1)
