"""The comparison with random sets gives the numbers that separate evaluations give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.supports.influence import ChoiceReport, assess_choice


@pytest.fixture(scope="module")
def report(model: D24FAD, tiny_root) -> ChoiceReport:
    from d24fad_lite.data.benchmark import open_benchmark

    return assess_choice(model, open_benchmark(tiny_root)["Blobs"], [4, 1, 8], sets=6, seed=2)


def test_chosen_and_random_sets_have_the_numbers_of_an_evaluation(
    report: ChoiceReport, model: D24FAD, task: Task
) -> None:
    sets = [[4, 1, 8], *draw_supports(10, 3, 6, 2).tolist()]
    frame = evaluate(model, task, supports=sets).to_frame()
    np.testing.assert_allclose([report.auroc, *report.random_auroc], frame["auroc"])
    np.testing.assert_allclose([report.pixel_auroc, *report.random_pixel_auroc], frame["pixel_auroc"], atol=2e-4)


def test_influence_is_the_auroc_with_all_minus_without_one(report: ChoiceReport, model: D24FAD, task: Task) -> None:
    without = [[1, 8], [4, 8], [4, 1]]
    for influence, rest, index in zip(report.influence, without, [4, 1, 8], strict=True):
        alone = evaluate(model, task, supports=[rest]).auroc
        assert influence.index == index and influence.auroc_without == pytest.approx(alone)
        assert influence.change == pytest.approx(report.auroc - alone)
    assert sum(i.share for i in report.influence) == pytest.approx(1, rel=1e-4)


def test_an_influence_that_rounds_to_nothing_is_said_without_a_minus(report: ChoiceReport) -> None:
    tiny = replace(report, influence=[replace(report.influence[0], change=-1e-5)])
    assert str(tiny.rows()[0]["its influence"]) == "0.0"


def test_the_percentile_counts_ties_half() -> None:
    made_up = ChoiceReport(0.8, None, np.array([0.7, 0.8, 0.8, 0.9]), None, [], 10, 10)
    assert made_up.percentile == 50 and made_up.pixel_percentile is None
    assert made_up.summary() == "AUROC 0.800, better than 50 % of 4 random sets (0.700 to 0.900)"


def test_a_support_unlike_the_others_is_flagged_without_labels(task: Task, model: D24FAD, tmp_path) -> None:
    import shutil

    from PIL import Image, ImageOps

    from d24fad_lite.data.benchmark import open_benchmark

    folder = shutil.copytree(task.root, tmp_path / "data" / "Blobs")
    strange = folder / "train/good/003.png"
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(strange)
    ImageOps.invert(Image.open(strange)).rotate(90).save(strange)
    found = assess_choice(model, open_benchmark(folder)["Blobs"], [0, 3, 5, 6], sets=2).influence
    assert "it looks unlike the other supports" in found[1].flags
    assert max(found, key=lambda influence: influence.own_score / influence.usual) is found[1]


def test_one_support_has_no_influence_to_measure_and_none_is_an_error(task: Task, model: D24FAD) -> None:
    ticks = []
    single = assess_choice(model, task, [2], sets=3, progress=lambda done, of: ticks.append((done, of)))
    assert single.influence == [] and len(single.random_auroc) == 3 and ticks[-1] == (4, 4)
    with pytest.raises(ValueError, match="no support is picked"):
        assess_choice(model, task, [])
