"""Live results equal the package's own, and are computed again only as far as something changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from d24fad_lite.data.benchmark import Task
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.uncertainty.thresholds import conformal_threshold
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.weighting import effective_number
from d24fad_lite.supports.live import LiveDetector
from d24fad_lite.supports.selection import SupportSelection


@pytest.fixture
def live(task: Task, model: D24FAD) -> LiveDetector:
    return LiveDetector(model, task, SupportSelection(task, 4))


def test_live_scores_are_those_of_an_evaluation_with_these_supports(live: LiveDetector) -> None:
    live.selection.select([7, 0, 3])
    report = evaluate(live.model, live.task, supports=[[7, 0, 3]])
    np.testing.assert_allclose(live.scores, report.scores[0], rtol=1e-5)
    assert live.auroc == pytest.approx(report.auroc)
    assert live.result(2).score == pytest.approx(report.scores[0][2], rel=1e-5)


def test_exchanging_one_support_encodes_one_image(live: LiveDetector) -> None:
    live.selection.select([0, 1, 2, 3])
    live.result(0), live.scores
    before = live.encodings
    live.selection.select([0, 1, 2, 9])
    live.result(0), live.scores
    assert live.encodings == before + 1
    live.selection.undo()
    live.result(0), live.scores
    assert live.encodings == before + 1


def test_results_follow_the_selection(live: LiveDetector) -> None:
    live.selection.select([0])
    first = live.result(6)
    live.selection.select([0, 5])
    second = live.result(6)
    assert first.weights.shape == (3, 1) and second.weights.shape == (3, 2)
    assert first.score != second.score and first.threshold != second.threshold


def test_without_a_support_there_is_one_clear_error(live: LiveDetector) -> None:
    assert not live.ready
    with pytest.raises(ValueError, match="no support is picked"):
        live.result(0)
    with pytest.raises(IndexError, match="0 to 9"):
        live.result(10)


def test_the_threshold_uses_no_test_image_and_no_picked_one(live: LiveDetector) -> None:
    live.selection.select([2, 4])
    rest = [i for i in range(10) if i not in (2, 4)]
    images = live.task.train.images(32, rest)
    expected = live.model.predict(images, live.model.encode_supports(live.task.train.images(32, [2, 4]))).score
    np.testing.assert_allclose(live.normal_scores, expected, rtol=1e-4)
    assert live.threshold == pytest.approx(conformal_threshold(expected.numpy(), 1 / 9).value, rel=1e-4)


def test_enough_normal_images_give_the_rate_that_was_asked_for(task: Task, model: D24FAD) -> None:
    live = LiveDetector(model, task, SupportSelection(task, 4), alpha=0.25)
    live.selection.select([2, 4])
    assert live.calibration is not None and live.calibration.alpha == 0.25
    assert "set by 8 normal training images that are not picked: on average at most 25 %" in live.threshold_text
    assert (live.normal_scores > live.threshold).sum() == 1  # a new one lies above it with 2/9, below 1/4


def test_too_few_normal_images_promise_the_lowest_rate_they_can_and_say_so(live: LiveDetector) -> None:
    live.selection.select([2, 4])
    assert live.calibration is not None and live.calibration.alpha == pytest.approx(1 / 9)
    assert live.threshold == live.normal_scores.max()
    for part in ("8 normal training images", "too few for a false-alarm rate of 5 % (19 would do)", "1/(n+1) = 11.1 %"):
        assert part in live.threshold_text


def test_without_a_normal_image_left_there_is_no_threshold_and_no_verdict(task: Task, model: D24FAD) -> None:
    live = LiveDetector(model, task, SupportSelection(task, 10))
    live.selection.select(range(10))
    result = live.result(3)
    assert live.threshold is None and live.calibration is None and len(live.normal_scores) == 0
    assert "every normal training image is picked" in live.threshold_text
    assert result.threshold is None and "without a threshold" in result.verdict
    assert result.limits[0] < result.limits[1]  # the colour scale then comes from the picked images


@pytest.mark.parametrize("alpha", [0, 1, 1.5, -0.1])
def test_a_false_alarm_rate_outside_0_to_1_is_an_error(task: Task, model: D24FAD, alpha: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        LiveDetector(model, task, SupportSelection(task, 4), alpha=alpha)


@pytest.mark.parametrize("count", [3, 7, 19, 40])
def test_false_alarms_stay_within_the_promise_and_close_to_it(
    task: Task, model: D24FAD, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    live, rng, rates = LiveDetector(model, task, SupportSelection(task, 4)), np.random.default_rng(count), []
    for _ in range(2000):
        drawn = rng.lognormal(sigma=2, size=count)  # heavy tails: nothing is known of the distribution
        monkeypatch.setattr(LiveDetector, "normal_scores", drawn)
        rates.append((rng.lognormal(sigma=2, size=50) > live.threshold).mean())
    promised, error = live.calibration.alpha, np.std(rates) / len(rates) ** 0.5
    assert promised == max(0.05, 1 / (count + 1))
    assert promised - 1 / (count + 1) - 3 * error < np.mean(rates) < promised + 3 * error


def test_more_normal_images_are_looked_at_where_a_low_rate_or_many_supports_need_them(
    task: Task, model: D24FAD
) -> None:
    many = task.train.subset(np.arange(60) % len(task.train))
    large = copy.copy(task)
    large.train = many
    assert len(LiveDetector(model, large, SupportSelection(large, 4))._normal_rows) == 24
    assert len(LiveDetector(model, large, SupportSelection(large, 10))._normal_rows) == 29
    live = LiveDetector(model, large, SupportSelection(large, 4), alpha=0.02)
    live.selection.select([0, 59])
    assert live.calibration is not None and live.calibration.n == 53 - 2 and live.calibration.alpha == 0.02


def test_the_worst_error_is_an_image_on_the_wrong_side(live: LiveDetector) -> None:
    live.selection.select([0])
    assert len(live.scores) == 10
    labels = live.task.test.labels
    made_up = np.where(labels == 1, 2.0, 1.0)
    good, bad = int(np.flatnonzero(labels == 0)[1]), int(np.flatnonzero(labels == 1)[2])
    made_up[good], made_up[bad] = 9.0, 0.5
    live._results["scores"] = made_up
    assert set(live.worst_errors()[:2]) == {good, bad}


def test_a_change_of_the_weighting_needs_no_new_features(task: Task) -> None:
    model = D24FAD(D24FADConfig(weights="random", image_size=32, blur_sigma=1.0))
    live = LiveDetector(model, task, SupportSelection(task, 4))
    live.selection.select([0, 1, 2])
    before, encoded = live.scores, live.encodings
    model.weighting.kind = "mean"
    live.recompute()
    assert not np.allclose(live.scores, before) and live.encodings == encoded
    np.testing.assert_allclose(live.result(0).effective, 3, rtol=1e-5)


def test_a_selection_over_other_images_is_refused(task: Task, model: D24FAD) -> None:
    other = SupportSelection(task.train.subset(range(5), "Blobs/part"), 2)
    with pytest.raises(ValueError, match="make it from the same task"):
        LiveDetector(model, task, other)


def test_a_mask_belongs_to_its_image_and_normal_images_have_an_empty_one(live: LiveDetector) -> None:
    live.selection.select([0, 1])
    for index, label in enumerate(live.task.test.labels):
        mask = live.result(index).mask
        assert mask is not None and mask.any() == bool(label)


def test_effective_number_runs_from_one_to_k() -> None:
    np.testing.assert_allclose(effective_number(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])), [1, 4, 2])


@pytest.mark.parametrize("source", ["tsd", "both"])
def test_maps_that_need_the_teacher_also_work_live(task: Task, source: str) -> None:
    model = D24FAD(D24FADConfig(weights="random", image_size=32, map_source=source, blur_sigma=1.0))
    live = LiveDetector(model, task, SupportSelection(task, 2))
    live.selection.select([0, 1])
    expected = evaluate(model, task, supports=[[0, 1]]).scores[0]
    np.testing.assert_allclose(live.scores, expected, rtol=1e-5)
