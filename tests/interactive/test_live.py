"""Live results equal the package's own, and are computed again only as far as something changed."""

from __future__ import annotations

import numpy as np
import pytest

from d24fad_lite.data.benchmark import Task
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.interactive.live import LiveDetector, effective_number, even_part
from d24fad_lite.interactive.selection import SupportSelection
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD


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
    np.testing.assert_allclose(live.reference.scores, expected, rtol=1e-4)
    assert live.threshold == pytest.approx(np.quantile(expected.numpy(), 0.95), rel=1e-4)


def test_the_worst_error_is_an_image_on_the_wrong_side(live: LiveDetector) -> None:
    live.selection.select([0])
    assert len(live.scores) == 10
    labels = live.task.test.labels
    made_up = np.where(labels == 1, 2.0, 1.0)
    good, bad = int(np.flatnonzero(labels == 0)[1]), int(np.flatnonzero(labels == 1)[2])
    made_up[good], made_up[bad] = 9.0, 0.5
    live._kept["scores"] = made_up
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


@pytest.mark.parametrize(("good", "bad", "most"), [(50, 50, 20), (95, 5, 20), (3, 97, 20), (4, 4, 20)])
def test_a_part_of_the_test_set_holds_both_classes(good: int, bad: int, most: int) -> None:
    labels = np.repeat([0, 1], [good, bad])
    part = even_part(labels, most)
    assert len(part) == min(most, good + bad) and (np.diff(part) > 0).all()
    assert (labels[part] == 1).sum() == min(bad, max(most // 2, most - good)) or good + bad <= most


@pytest.mark.parametrize("source", ["tsd", "both"])
def test_maps_that_need_the_teacher_also_work_live(task: Task, source: str) -> None:
    model = D24FAD(D24FADConfig(weights="random", image_size=32, map_source=source, blur_sigma=1.0))
    live = LiveDetector(model, task, SupportSelection(task, 2))
    live.selection.select([0, 1])
    expected = evaluate(model, task, supports=[[0, 1]]).scores[0]
    np.testing.assert_allclose(live.scores, expected, rtol=1e-5)
