"""The student comparator and the schedules: what they read, how they begin, and what they must never see."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import d24fad_lite as d2

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import few_normals_cells as cells
import few_normals_procedural as procedural
import few_normals_schedules as schedules
import few_normals_student as student
from few_normals import Drawn
from few_normals_lesions import ALL_LESIONS, changed
from few_normals_network import Size, Student, trained
from few_normals_rows import Rows, rows_of_normals
from few_normals_view import Encoded, View

TINY = Size(steps=3, batch=8, procedural=4)


@pytest.fixture(scope="module")
def teacher() -> d2.Teacher:
    return d2.Teacher("resnet18", "random", 64).eval()


def _images(count: int, seed: int = 0) -> Tensor:
    return 0.2 + 0.6 * torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def rows(teacher: d2.Teacher) -> Rows:
    return rows_of_normals(teacher, _images(3, 1), _images(6, 2), shots=4, draws=2, seed=0)


def test_residuals_are_those_of_a_slow_reference(teacher: d2.Teacher) -> None:
    encoded = Encoded.of(teacher, _images(2, 1), _images(4, 2))
    chosen = torch.tensor([4, 2, 5])
    view = View(encoded, torch.arange(2), chosen)
    got = Rows.of(view, torch.zeros(2), torch.zeros(2, *encoded.grid.shape[2:])).levels
    with torch.no_grad():
        plain, turned = (teacher(torch.cat([_images(2, 1), _images(4, 2)]).flip(d)).levels for d in ([], [3]))
    for number, level in enumerate(got):
        unit, flipped = (F.normalize(part[1 + number], dim=1).flatten(2).transpose(1, 2) for part in (plain, turned))

        def nearest(vector: Tensor, supports: list[int], *, unit: Tensor = unit, flipped: Tensor = flipped) -> Tensor:
            every = torch.cat([part[i] for part in (unit, flipped) for i in supports])
            return (vector - every[(every - vector).norm(dim=1).argmin()]).abs()

        among = [nearest(v, [j for j in chosen.tolist() if j != i]) for i in chosen.tolist() for v in unit[i]]
        usual = torch.stack(among).mean(dim=0)
        for query in range(2):
            found = torch.stack([nearest(vector, chosen.tolist()) for vector in unit[query]])
            expected = ((found + usual.mean()) / (usual + usual.mean())).log().T
            torch.testing.assert_close(level[query].flatten(1).float(), expected, atol=4e-3, rtol=4e-3)


def test_rows_hold_every_lesion_beside_every_draw(rows: Rows) -> None:
    kinds = 1 + len(ALL_LESIONS)
    assert len(rows) == 2 * 3 * kinds and rows.labels.sum() == 2 * 3 * len(ALL_LESIONS)
    assert (rows.masks[rows.labels == 0] == 0).all() and (rows.masks[rows.labels == 1] > 0).any()
    assert all(torch.isfinite(part).all() for part in (*rows.levels, rows.maps, rows.facts))
    assert torch.equal(rows.select(torch.tensor([5])).facts[0], rows.facts[5])


def test_a_lesion_that_changes_size_stays_in_range_and_is_seen_where_it_is() -> None:
    images = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8), 64, mode="bilinear")
    lesioned = ALL_LESIONS[-1](images, np.random.default_rng(0))
    where = changed(images, lesioned)
    assert lesioned.min() >= images.min() and lesioned.max() <= images.max()
    assert where.any(dim=(1, 2)).all() and not where.all(dim=2).any()
    assert not changed(images, images).any()


def test_a_student_begins_as_the_frozen_score(rows: Rows) -> None:
    fresh = Student([level.shape[1] for level in rows.levels], rows.maps.shape[1], rows.facts.shape[1]).eval()
    fresh.standardise(rows.facts)
    with torch.no_grad():
        scores, maps = fresh(rows)
    frozen = rows.facts[:, -1]
    expected = (frozen - frozen.mean()) / frozen.std()
    torch.testing.assert_close(scores - scores[0], expected - expected[0])
    assert maps.shape == rows.masks.shape


def test_training_repeats_learns_and_ignores_rows_without_weight(rows: Rows) -> None:
    weights = torch.ones(len(rows))
    weights[::5] = 0
    spoilt = Rows([level.clone() for level in rows.levels], *(getattr(rows, n).clone() for n in PARTS))
    spoilt.levels[0][::5] = torch.nan
    spoilt.facts[::5] = torch.nan
    models = [trained(part, weights, 1, TINY) for part in (rows, spoilt)]
    for first, second in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(first, second) and torch.isfinite(first).all()
    kept = rows.select(weights.nonzero()[:, 0])
    losses = []
    for steps in (1, 60):
        maps = trained(rows, weights, 1, Size(steps, 16, 0))(kept)[1]
        losses.append(F.binary_cross_entropy_with_logits(maps, kept.masks.float()).item())
    assert losses[1] < losses[0]


PARTS = ("maps", "facts", "labels", "masks")


def test_a_student_never_meets_the_rows_or_the_painter_of_its_task(
    rows: Rows, teacher: d2.Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [
        (name, np.random.default_rng(i).random((16, 3, 64, 64), dtype=np.float32))
        for i, name in enumerate(("RSNA", procedural.FRACTAL, "HIS"))
    ]
    monkeypatch.setattr(student, "procedural_tasks", lambda seed, count, images, side: iter(pictures))
    monkeypatch.setattr(student, "SEEDS", (0,))
    met = []
    monkeypatch.setattr(student, "trained", lambda rows, weights, seed, size: met.append((len(rows), weights)))
    every = student.Students(teacher, "full")
    of_picture = len(every.procedural[0].rows) // 3
    few = {name: [rows.select(torch.arange(count))] for name, count in (("RSNA", 9), ("LAG", 5), ("HIS", 7))}
    every.trained("RSNA", few)
    (others, ones), (made, drawn), (both, shares) = met
    assert others == 12 and (ones == 1).all()
    assert made == 3 * of_picture and drawn.tolist() == [0] * of_picture + [1] * 2 * of_picture
    assert both == others + made and (shares[12 : 12 + of_picture] == 0).all()
    assert float(shares[:12].sum()) == pytest.approx(float(shares[12:].sum()))


def test_procedural_tasks_repeat_and_each_has_a_style_of_its_own() -> None:
    first, again = (list(procedural.procedural_tasks(3, 6, 2, 32, patients=3)) for _ in range(2))
    assert [name for name, _ in first] == ["HIS", "fractal", "LAG", "fractal", "APTOS", "fractal"]
    for (_, pictures), (_, same) in zip(first, again, strict=True):
        assert pictures.shape == (2, 3, 32, 32) and pictures.dtype == np.float32
        assert pictures.min() >= 0 and pictures.max() <= 1 and pictures.std() > 0.01
        assert np.array_equal(pictures, same) and not np.array_equal(pictures[0], pictures[1])
    colours = np.stack([pictures.mean(axis=(0, 2, 3)) for _, pictures in first])
    assert len(np.unique(colours.round(3), axis=0)) == len(first)


def test_scores_are_kept_and_not_computed_again(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((2, 3))
    report = Drawn("A", "m", np.array([0, 1, 1]), ["a", "b", "c"], [None, "p", "p"], scores, [["x"], ["y"]], None, 0.0)
    first = cells.kept(tmp_path, "Judged: world, 3", lambda: [{"m": [report]}])
    (again,) = cells.kept(tmp_path, "Judged: world, 3", lambda: pytest.fail("computed again"))
    for found in (first[0], again):
        (back,) = found["m"]
        assert np.array_equal(back.scores, scores) and np.array_equal(back.labels, report.labels)
        assert (back.names, back.groups, back.support_hashes) == (report.names, report.groups, report.support_hashes)
    assert [path.name for path in tmp_path.iterdir()] == ["Judged__world__3.npz"]


def test_supports_of_an_episode_are_others_of_the_same_task() -> None:
    rows = schedules.mates([5, 6], np.random.default_rng(0))
    assert rows.shape == (schedules.SHOTS, 11)
    for query, column in enumerate(rows.T.tolist()):
        assert query not in column and len(set(column)) == len(column)
        assert all((other < 5) == (query < 5) for other in column)


@pytest.mark.parametrize(("scale", "expected"), [(0.25, 0.75), (1.0, 0.0), (3.0, 0.0)])
def test_spread_is_lost_where_the_student_varies_less_than_the_teacher(scale: float, expected: float) -> None:
    teacher = [torch.randn(4, 3, 5, 5), torch.randn(4, 2, 3, 3)]
    lost = schedules.lost_spread([7 + scale * level for level in teacher], teacher)
    assert float(lost) == pytest.approx(2 * expected, abs=1e-5)


def test_schedules_change_the_training_and_as_released_is_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "SIDE", 64)
    trainer = schedules.Trainer("resnet18", "random", "cpu", steps=2)
    seen = [trainer.encoded(_images(9, seed)) for seed in (1, 2)]
    tasks = [one.replace(levels=[50 * level for level in one.levels]) for one in seen]  # the student varies less
    models = {name: trainer.trained(tasks, one, 0) for name, one in schedules.SCHEDULES.items()}
    ends = {name: torch.cat([w.detach().flatten() for w in one.student.parameters()]) for name, one in models.items()}
    same = [pair for pair in combinations(ends, 2) if torch.equal(ends[pair[0]], ends[pair[1]])]
    assert not same
    assert models["all three"].config.stop_gradient and not models["as released"].config.stop_gradient
    again = trainer.trained(tasks, schedules.Schedule(), 0)
    for name, tensor in again.student.state_dict().items():
        assert torch.equal(tensor, models["as released"].student.state_dict()[name]), name
    scores = schedules.scored(again, tasks[0], tasks[1], np.array([[0, 1, 2, 3], [4, 5, 6, 7]]))
    direct = again.predict(_images(9, 2), again.encode_supports(_images(9, 1)[4:8])).score
    torch.testing.assert_close(scores[1], direct, atol=1e-5, rtol=1e-4)
