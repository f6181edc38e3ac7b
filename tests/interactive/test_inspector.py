"""The live panel without a browser: it follows the selection, shows the model's own numbers, and tells its limits."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from d24fad_lite.data.benchmark import Task
from d24fad_lite.interactive.inspector import SupportInspector, choose_supports
from d24fad_lite.interactive.inspector_html import quality_html
from d24fad_lite.interactive.picker import SupportPicker
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.supports.live import LiveDetector
from d24fad_lite.supports.selection import SupportSelection


@pytest.fixture
def inspector(task: Task, model: D24FAD) -> SupportInspector:
    return SupportInspector(LiveDetector(model, task, SupportSelection(task, 3)))


def words(widget) -> str:
    return re.sub(r"<[^>]+>", " ", widget.value)


def test_it_asks_for_a_support_and_then_follows_every_click(inspector: SupportInspector) -> None:
    picker = SupportPicker(inspector.live.selection)
    assert "Pick a support" in words(inspector.task_line) and inspector.result is None
    picker.cards[0].click()
    first = inspector.result
    assert "1 of 3 supports" in words(inspector.task_line) and first.weights.shape == (3, 1)
    picker.cards[5].click()
    assert inspector.result.weights.shape == (3, 2) and inspector.result.score != first.score
    assert "1 · 000.png" in words(inspector.facts) and "2 · 005.png" in words(inspector.facts)
    picker.clear.click()
    assert inspector.result is None and inspector.picture.value == ""


def test_it_shows_the_numbers_of_the_model(inspector: SupportInspector) -> None:
    live = inspector.live
    live.selection.select([1, 2])
    inspector.query.value = 7
    bank = live.model.encode_supports(live.task.train.images(32, [1, 2]))
    expected = live.model.predict(live.task.test.images(32, [7]), bank)
    said = words(inspector.facts)
    assert f"score  {float(expected.score[0]):.3f}" in said
    for value in expected.weights[0].flatten():
        assert f"{float(value):.2f}" in said
    inspector.reveal.click()
    line = words(inspector.task_line)
    assert f"AUROC {live.auroc:.3f}" in line and "all 10 test images" in line
    assert "anomalous" in words(inspector.picture) and 'alt="test/bad/' in inspector.picture.value


def test_the_auroc_is_hidden_until_asked_for_and_counts_who_looks_often(inspector: SupportInspector) -> None:
    live = inspector.live
    inspector.reveal.click()
    assert "Pick a support first" in words(inspector.quality) and not inspector.seen
    live.selection.select([1, 2])
    assert (
        "hidden while you choose" in words(inspector.task_line) and f"{live.auroc:.3f}" not in inspector.task_line.value
    )
    inspector.reveal.click()
    assert f"AUROC {live.auroc:.3f}" in words(inspector.task_line) and "optimistic" not in words(inspector.task_line)
    live.selection.select([1, 3])
    assert "hidden" in words(inspector.task_line)
    inspector.reveal.click()
    assert "seen for 2 choices, so the best of them is optimistic" in words(inspector.task_line)
    live.selection.select([2, 1])  # the first set again
    assert f"AUROC {live.auroc:.3f}" in words(inspector.task_line) and len(inspector.seen) == 2


def test_it_says_what_the_threshold_promises_and_what_it_cannot(task: Task, model: D24FAD) -> None:
    inspector = SupportInspector(LiveDetector(model, task, SupportSelection(task, 10)))
    inspector.live.selection.select([1, 2])
    said = words(inspector.facts)
    assert "too few for a false-alarm rate of 5 %" in said and "11.1 %" in said
    assert f"threshold {inspector.result.threshold:.3f}: called" in said
    inspector.live.selection.select(range(10))
    said = words(inspector.facts)
    assert "There is no threshold" in said and "called" not in said
    assert "no verdict without a threshold" in inspector.picture.value


def test_opacity_and_outline_change_the_picture_only(inspector: SupportInspector) -> None:
    inspector.live.selection.select([1, 2])
    inspector.query.value = 9
    picture, facts, encoded = inspector.picture.value, inspector.facts.value, inspector.live.encodings
    inspector.opacity.value = 0
    plain = inspector.picture.value
    inspector.marked.value = False
    assert len({picture, plain, inspector.picture.value}) == 3
    assert inspector.facts.value == facts and inspector.live.encodings == encoded


def test_worst_errors_come_one_after_the_other_and_anew_after_a_change(inspector: SupportInspector) -> None:
    inspector.live.selection.select([1, 2])
    order = inspector.live.worst_errors()
    for expected in order[:3]:
        inspector.worst.click()
        assert inspector.query.value == expected
    inspector.live.selection.select([6])
    inspector.worst.click()
    assert inspector.query.value == inspector.live.worst_errors()[0]


def test_a_random_query_is_one_of_the_test_images(inspector: SupportInspector) -> None:
    inspector.live.selection.select([1])
    seen = set()
    for _ in range(12):
        inspector.chance.click()
        seen.add(inspector.query.value)
    assert len(seen) > 3 and seen <= set(range(10))


def test_is_my_choice_any_good_warns_of_optimism_and_grows_stale(inspector: SupportInspector) -> None:
    inspector.assess.click()
    assert "Pick a support first" in words(inspector.quality)
    inspector.live.selection.select([1, 2, 4])
    inspector.assess.click()
    said = words(inspector.quality)
    assert "of 50 random sets" in said and "optimistic" in said and "pixel AUROC" in said
    assert inspector.report.auroc == pytest.approx(inspector.live.auroc)
    for number, influence in enumerate(inspector.report.influence, start=1):
        assert (
            f"{number} · {influence.name.removeprefix('train/good/')}" in said and f"{influence.change:+z.3f}" in said
        )
        assert all(flag in said for flag in influence.flags)
    assert ("No support stands out" in said) is not any(i.flags for i in inspector.report.influence)
    tiny = replace(inspector.report, influence=[replace(inspector.report.influence[0], change=-1e-5)])
    assert "<td>+0.000</td>" in quality_html(tiny, ["a.png"])  # not -0.000
    inspector.live.selection.toggle(4)
    assert inspector.report is None and "has changed since" in words(inspector.quality)


def test_the_weighting_controls_change_the_model_and_can_be_taken_back(task: Task) -> None:
    model = D24FAD(D24FADConfig(weights="random", image_size=32, blur_sigma=1.0))
    inspector = SupportInspector(LiveDetector(model, task, SupportSelection(task, 3)), weighting=True)
    inspector.live.selection.select([0, 1, 2])
    before = inspector.result.weights
    inspector.temperature.value = 0.01
    assert not np.allclose(inspector.result.weights, before)
    inspector.kind.value = "single"
    np.testing.assert_array_equal(inspector.result.weights[:, 0], 1)
    inspector.scale.value = "elements"
    inspector.reset.click()
    assert (model.weighting.kind, model.weighting.scale, model.weighting.temperature) == ("learned", "channels", 1.0)
    np.testing.assert_allclose(inspector.result.weights, before)


def test_a_click_computes_the_result_once(inspector: SupportInspector, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = LiveDetector.result
    monkeypatch.setattr(LiveDetector, "result", lambda self, index: calls.append(index) or original(self, index))
    picker = SupportPicker(inspector.live.selection)
    picker.cards[4].click()
    assert calls == [0]


def test_both_views_are_shown_together(inspector: SupportInspector) -> None:
    shown = []
    views = choose_supports(inspector.live, show=shown.append)
    assert [view.widget for view in views] == list(shown[0].widget.children)
    assert views[0].selection is views[1].live.selection
    assert shown[0]._repr_mimebundle_()["text/plain"].endswith("(they need a running kernel)")
    assert views[1]._repr_mimebundle_()["text/plain"].startswith("support inspector")
