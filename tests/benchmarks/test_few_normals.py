"""Candidates of the bench of few normal images, beside slow references and beside the kit's own nearest patch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import few_normals_candidates as candidates
from few_normals_view import Encoded, View


@pytest.fixture(scope="module")
def teacher() -> d2.Teacher:
    return d2.Teacher("resnet18", "random", 64).eval()


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(3, 3, 64, 64, generator=generator), torch.rand(5, 3, 64, 64, generator=generator)


@pytest.fixture(scope="module")
def view(teacher: d2.Teacher, images: tuple[torch.Tensor, torch.Tensor]) -> View:
    return View(Encoded.of(teacher, *images), torch.arange(3), torch.tensor([7, 3, 4, 6]))


@pytest.mark.parametrize("score", ["max", "mean", "top"])
def test_the_bar_is_the_kits_nearest_patch(
    score: str, view: View, teacher: d2.Teacher, images: tuple[torch.Tensor, torch.Tensor]
) -> None:
    own = NearestPatch(teacher, image_score=score, maps=False)
    expected = own.score(images[0], own.prepare(images[1], np.array([[4, 0, 1, 3]]))).scores[0]
    found = candidates.nearest("anywhere", score)(view)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4)  # a distance of 1e-4 is a difference of cosines of 1e-8


def test_the_frozen_candidate_is_the_kits_detector(
    view: View, teacher: d2.Teacher, images: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64)
    detector = d2.MirroredPatchDetector(config, teacher)
    expected = detector.predict(images[0], detector.encode_supports(images[1][[4, 0, 1, 3]])).score
    torch.testing.assert_close(candidates.CANDIDATES[candidates.FROZEN](view)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_support_left_out_meets_the_others_alone(view: View) -> None:
    pairs = [(one.queries.tolist(), one.supports.tolist()) for one in view.left_out()]
    assert pairs == [([7], [3, 4, 6]), ([3], [7, 4, 6]), ([4], [7, 3, 6]), ([6], [7, 3, 4])]
    alone = next(view.left_out()).near()
    assert alone.shape[:2] == (1, 3) and float(alone.min()) > 0  # none of them is the support itself


def test_the_reconstruction_is_ridge_regression_on_the_supports_patches(view: View) -> None:
    queries, supports = (part.double() for part in view.vectors())
    x, ridge = supports.flatten(0, 1), 0.1
    amount = ridge * float((x**2).sum()) / x.shape[1]
    weights = torch.linalg.solve(x @ x.T + amount * torch.eye(len(x)), x @ queries[1, 5])  # over patches, not channels
    expected = (queries[1, 5] - x.T @ weights).norm()
    found = candidates.reconstruction(ridge)(view)[1]
    assert found is not None and float(found[1, 5]) == pytest.approx(float(expected), rel=1e-4)


def test_the_subspace_is_what_principal_components_leave(view: View) -> None:
    queries, supports = (part.double().numpy() for part in view.vectors())
    x = supports.reshape(-1, supports.shape[2])
    _, singular, directions = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    energy = np.cumsum(singular**2) / np.sum(singular**2)
    kept = directions[: int(np.searchsorted(energy, 0.95))]
    centred = queries[2, 7] - x.mean(axis=0)
    expected = np.linalg.norm(centred - kept.T @ (kept @ centred))
    found = candidates.subspace(view)[1]
    assert found is not None and float(found[2, 7]) == pytest.approx(expected, rel=1e-3)


def test_a_combined_score_is_one_for_what_the_supports_show_among_each_other(view: View) -> None:
    part = candidates.nearest("anywhere", "mean")
    usual = float(torch.cat([part(one)[0] for one in view.left_out()]).mean())
    found = candidates.combined(part, part)(view)[0]
    torch.testing.assert_close(found, part(view)[0] / usual)


@pytest.mark.parametrize("name", candidates.CANDIDATES)
def test_a_candidate_scores_each_image_by_itself(name: str, view: View) -> None:
    scores, patches = candidates.CANDIDATES[name](view)
    alone, _ = candidates.CANDIDATES[name](View(view.task, torch.tensor([1]), view.supports))
    assert scores.shape == (3,) and torch.isfinite(scores).all()
    torch.testing.assert_close(alone[0], scores[1], rtol=1e-4, atol=1e-5)
    assert patches is None or patches.shape == (3, view.task.grid[0, 0].numel())
