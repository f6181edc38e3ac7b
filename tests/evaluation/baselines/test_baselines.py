"""Baselines against their definitions written out, and the table that never leaves out the shortcuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.evaluation.baselines.compare import compare
from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch, greedy_coreset
from d24fad_lite.evaluation.baselines.shortcuts import PIXEL_STATISTICS, Shortcut, image_statistics
from d24fad_lite.evaluation.baselines.standard import standard_baselines
from d24fad_lite.evaluation.baselines.variants import (
    DetectorVariant,
    SelfDistillationOnly,
    TeacherStudentOnly,
    UntrainedStudent,
    self_distillation_only,
    teacher_student_only,
)
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.scorer import Scorer
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD


@pytest.fixture(scope="module")
def model() -> D24FAD:
    return D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32))


@pytest.fixture(scope="module")
def task(tiny_root: Path) -> Task:
    return open_benchmark(tiny_root)["Stripes"]


def naive_patches(image: Tensor, model: D24FAD, levels: list[int]) -> list[Tensor]:
    """Patch vectors of one image, position by position."""
    grids = [model.teacher(image[None]).levels[i][0] for i in levels]
    height, width = grids[0].shape[1:]
    averaged = []
    for grid in grids:
        local = torch.zeros_like(grid)
        for i in range(grid.shape[1]):
            for j in range(grid.shape[2]):
                local[:, i, j] = grid[:, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean(dim=(1, 2))
        full = nn.functional.interpolate(local[None], (height, width), mode="bilinear", align_corners=False)[0]
        averaged.append(full)
    patches = []
    for i in range(height):
        for j in range(width):
            vector = torch.cat([level[:, i, j] / level[:, i, j].norm() for level in averaged])
            patches.append(vector / vector.norm())
    return patches


@pytest.mark.parametrize("image_score", ["max", "mean"])
def test_nearest_patch_is_the_distance_to_the_closest_support_patch(
    model: D24FAD, task: Task, image_score: str
) -> None:
    scorer = NearestPatch(model, levels=[0, 1], image_score=image_score)
    supports, queries = task.train.images(32, [0, 3, 5]), task.test.images(32, [1, 7])
    draws = np.array([[0, 1], [2, 0]])
    found = scorer.score(queries, scorer.prepare(supports, draws)).scores
    for d, draw in enumerate(draws):
        bank = [p for k in draw for p in naive_patches(supports[k], model, [0, 1])]
        for q, query in enumerate(queries):
            nearest = [min(float((p - b).norm()) for b in bank) for p in naive_patches(query, model, [0, 1])]
            expected = max(nearest) if image_score == "max" else float(np.mean(nearest))
            assert found[d, q] == pytest.approx(expected, abs=2e-3)


def test_a_support_is_at_distance_zero_and_its_map_is_flat(model: D24FAD, task: Task) -> None:
    scorer = NearestPatch(model)
    images = task.train.images(32, [0, 1])
    scored = scorer.score(images, scorer.prepare(images, np.array([[0, 1]])))
    assert scored.maps is not None and scored.maps.shape == (1, 2, 32, 32)
    assert np.abs(scored.scores).max() < 2e-3 and np.abs(scored.maps).max() < 2e-3


def test_a_full_coreset_scores_as_no_coreset_and_a_smaller_one_never_closer(model: D24FAD, task: Task) -> None:
    supports, queries, draws = task.train.images(32, [0, 1, 2]), task.test.images(32, [0, 6]), np.array([[0, 1, 2]])
    every, most, few = (NearestPatch(model, coreset=c) for c in (1.0, 0.999999, 0.1))
    full = every.score(queries, every.prepare(supports, draws)).scores
    np.testing.assert_allclose(most.score(queries, most.prepare(supports, draws)).scores, full, atol=1e-5)
    assert (few.score(queries, few.prepare(supports, draws)).scores >= full - 1e-5).all()


def test_the_coreset_is_the_greedy_k_centre_of_its_definition() -> None:
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    chosen = [int((x - x.mean(0)).norm(dim=1).argmax())]
    while len(chosen) < 10:
        chosen.append(max(range(40), key=lambda i: min(float((x[i] - x[j]).norm()) for j in chosen)))
    assert greedy_coreset(x, 0.25, projection=None).tolist() == chosen


def test_the_mean_feature_is_the_distance_to_the_mean_of_the_supports(model: D24FAD, task: Task) -> None:
    scorer = MeanFeature(model, levels=[1])
    supports, query = task.train.images(32, [0, 1]), task.test.images(32, [5])

    def vector(image: Tensor) -> Tensor:
        return nn.functional.normalize(model.teacher(image[None]).levels[1][0].mean(dim=(1, 2)), dim=0)

    expected = (vector(query[0]) - (vector(supports[0]) + vector(supports[1])) / 2).norm()
    found = scorer.score(query, scorer.prepare(supports, np.array([[0, 1]]))).scores
    assert found[0, 0] == pytest.approx(float(expected), abs=1e-5)


def test_readings_of_a_model_are_those_of_a_model_with_that_setting(model: D24FAD, task: Task) -> None:
    for scorer, setting in (
        (TeacherStudentOnly(model), {"map_source": "tsd"}),
        (SelfDistillationOnly(model), {"map_source": "ssd"}),
        (DetectorVariant(model, "m", weighting="mean"), {"weighting": "mean"}),
    ):
        other = D24FAD(model.config.replace(**setting))
        np.testing.assert_allclose(evaluate(scorer, task, 2, 2).scores, evaluate(other, task, 2, 2).scores, rtol=1e-5)
    assert model.config.map_source == "ssd" and model.weighting.kind == "learned"


def test_a_setting_that_only_training_reads_is_refused_for_a_trained_model(model: D24FAD) -> None:
    with pytest.raises(ValueError, match="lambda_tsd.*do not act on a trained model"):
        DetectorVariant(model, "m", lambda_tsd=1.0)


def test_ablated_settings_train_one_distillation_only() -> None:
    config = D24FADConfig(teacher="test_resnet", weights="random", image_size=32)
    tsd, ssd = teacher_student_only(config), self_distillation_only(config)
    assert (tsd.lambda_ssd, tsd.map_source) == (0, "tsd") and (ssd.lambda_tsd, ssd.map_source) == (0, "ssd")


def test_the_untrained_student_forgets_training_and_leaves_the_model_alone(model: D24FAD, task: Task) -> None:
    trained = D24FAD(model.config)
    with torch.no_grad():
        for parameter in trained.student.parameters():
            parameter.add_(0.1)
    before = evaluate(trained, task, 2, 1).scores
    np.testing.assert_allclose(
        evaluate(UntrainedStudent(trained), task, 2, 1).scores, evaluate(model, task, 2, 1).scores, rtol=1e-5
    )
    np.testing.assert_array_equal(evaluate(trained, task, 2, 1).scores, before)
    assert not np.allclose(before, evaluate(model, task, 2, 1).scores)


def test_every_image_goes_through_a_shared_teacher_once(model: D24FAD, task: Task) -> None:
    scorers = standard_baselines(model)
    compare(scorers, task, shots=3, draws=4)
    teacher: SharedTeacher = scorers["mean feature"].teacher  # type: ignore[attr-defined]
    supports = np.unique(evaluate(model, task, 3, 4, pixel=False).supports)
    assert teacher.encoded == len(task.test) + len(supports)


def test_a_teacher_out_of_memory_still_gives_the_same_features(model: D24FAD, task: Task) -> None:
    images = task.train.images(32, [0, 1, 0])
    small, large = SharedTeacher(model, memory_bytes=0), SharedTeacher(model)
    for _ in range(2):
        for a, b in zip(small(images).levels, large(images).levels, strict=True):
            torch.testing.assert_close(a, b)
    assert (small.encoded, large.encoded) == (4, 2)


def test_every_baseline_is_a_scorer_whose_scores_do_not_depend_on_the_batch(model: D24FAD, task: Task) -> None:
    for scorer in [*standard_baselines(model).values(), *(Shortcut(name, image_size=32) for name in PIXEL_STATISTICS)]:
        assert isinstance(scorer, Scorer)
        one, many = (evaluate(scorer, task, 3, 2, batch_size=b).scores for b in (1, 7))
        np.testing.assert_allclose(one, many, atol=2e-4)


def test_a_bright_anomaly_is_found_by_the_intensity_and_the_table_says_so(model: D24FAD, task: Task) -> None:
    table = compare({"nearest": NearestPatch(model)}, task, shots=3, draws=2)
    frame = table.to_frame()
    assert list(frame["kind"][:2]) == ["method", "best shortcut"]
    assert frame["AUROC"][1] == frame.query("kind == 'shortcut'")["AUROC"].max() == table.best_shortcut.auroc
    values = task.test.images(32).mean(dim=(1, 2, 3)).numpy()
    won = np.mean([b > g for b in values[task.test.labels == 1] for g in values[task.test.labels == 0]])
    row = frame.query("kind == 'shortcut' and method.str.endswith('h intensity')")
    assert row["AUROC"].item() == pytest.approx(won)
    assert "test labels" in row["note"].item() and frame["over shortcut"][1] == 0


def test_grey_images_have_no_colour_to_rank_them_by() -> None:
    grey = torch.rand((6, 1, 32, 32), generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    values = image_statistics(grey)
    for name in ("red", "blue", "saturation"):
        assert not values[name].any()
    assert len(np.unique(values["intensity"])) == 6


def test_the_shortcut_scorer_and_the_table_agree(model: D24FAD, task: Task) -> None:
    table = compare({"mean": MeanFeature(model)}, task, shots=3, draws=2)
    by_name = {report.method: report for report in table.shortcuts}
    for name in PIXEL_STATISTICS:
        np.testing.assert_allclose(
            evaluate(Shortcut(name, image_size=32), task, 3, 2).scores, by_name[f"shortcut: {name}"].scores, atol=1e-6
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: NearestPatch(m, levels=[9]), "levels"),
        (lambda m: NearestPatch(m, image_score="sum"), "image_score"),
        (lambda m: NearestPatch(m, coreset=0), "coreset"),
        (lambda m: Shortcut("smell"), "statistic"),
        (lambda m: Shortcut("red", "up"), "direction"),
        (lambda m: MeanFeature("resnet18"), "a teacher is needed"),
    ],
)
def test_wrong_settings_are_named(model: D24FAD, make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(model)  # type: ignore[operator]


def test_a_comparison_of_nothing_is_refused(task: Task) -> None:
    with pytest.raises(ValueError, match="no scorers"):
        compare({}, task)
