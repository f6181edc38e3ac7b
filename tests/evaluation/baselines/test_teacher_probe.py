"""The probe of teachers: the numbers of `evaluate`, means and intervals by their formulas, one table."""

from __future__ import annotations

import numpy as np
import pytest

from d24fad_lite.data.benchmark import Benchmark, open_benchmark
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.baselines.teacher_probe import MEAN, TeacherProbe, probe_teachers
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.model.teacher import Teacher


@pytest.fixture(scope="module")
def bench(tiny_root) -> Benchmark:
    return open_benchmark(tiny_root)


@pytest.fixture(scope="module")
def teachers() -> dict[str, Teacher]:
    return {f"seed {seed}": Teacher("resnet10t", "random", image_size=32, seed=seed) for seed in (0, 1)}


@pytest.fixture(scope="module")
def probe(teachers: dict[str, Teacher], bench: Benchmark) -> TeacherProbe:
    return probe_teachers(teachers, bench, shots=2, draws=3, seed=5)


def test_each_cell_is_what_evaluate_says_of_the_nearest_patch(probe: TeacherProbe, teachers, bench) -> None:
    frame = probe.to_frame().set_index(["teacher", "score", "task"])
    for name, teacher in teachers.items():
        for task in bench.values():
            report = evaluate(NearestPatch(teacher, image_score="mean"), task, 2, 3, 5)
            assert frame.loc[(name, "mean", task.name), "AUROC"] == pytest.approx(report.auroc, abs=1e-12)
            assert tuple(frame.loc[(name, "mean", task.name), ["low", "high"]]) == pytest.approx(report.ci)


def test_the_mean_of_tasks_adds_the_variances_of_independent_tasks(probe: TeacherProbe) -> None:
    frame = probe.to_frame().query("teacher == 'seed 0' and score == 'max'").set_index("task")
    tasks = frame.drop(index=MEAN)
    assert frame.loc[MEAN, "AUROC"] == pytest.approx(tasks["AUROC"].mean())
    half = np.sqrt(((tasks["AUROC"] - tasks["low"]) ** 2).sum()) / 2
    assert frame.loc[MEAN, "AUROC"] - frame.loc[MEAN, "low"] == pytest.approx(half)
    assert frame.loc[MEAN, "normal"] == tasks["normal"].sum()


def test_a_difference_is_paired_antisymmetric_and_zero_against_itself(probe: TeacherProbe) -> None:
    value, low, high = probe.difference("seed 0", "seed 1")
    assert low <= value <= high
    assert probe.difference("seed 1", "seed 0")[0] == pytest.approx(-value)
    assert probe.difference("seed 0", "seed 0") == (0.0, 0.0, 0.0)


def test_the_table_shows_max_and_mean_per_task(probe: TeacherProbe) -> None:
    table = probe.table()
    assert list(table.index) == ["seed 0", "seed 1"] and list(table.columns) == [*probe.tasks, MEAN]
    values = probe.to_frame().set_index(["teacher", "task", "score"])["AUROC"]
    expected = f"{values['seed 0', 'Blobs', 'max']:.3f} / {values['seed 0', 'Blobs', 'mean']:.3f}"
    assert table.loc["seed 0", "Blobs"] == expected


def test_nothing_to_probe_is_said(bench: Benchmark) -> None:
    with pytest.raises(ValueError, match="0 teachers and 2 tasks"):
        probe_teachers({}, bench)
