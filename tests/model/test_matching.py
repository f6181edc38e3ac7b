"""Matching beyond the published reading: against loops, in the detector, and off by default.

These switches act on the anomaly map alone, so there are no gradients to compare.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model import matching
from d24fad_lite.model.checkpoint import read_tensors, write_tensors
from d24fad_lite.model.losses import support_residual
from d24fad_lite.model.matching import RIDGE, largest_cosine, matched_residual, reach, subspace_residual

CONFIG = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64)
OURS = ("matching", "match_radius", "compare_in")


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> d2.D24FAD:
    return d2.D24FAD(CONFIG).eval()


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def slow_cosines(q: Tensor, s: Tensor, down: int, right: int) -> Tensor:
    """Every position of every query against every position of its window, one pair at a time."""
    batch, _, height, width = q.shape
    best = torch.full((batch, len(s), height, width), -9.0, dtype=q.dtype)
    for b, k, y, x in product(range(batch), range(len(s)), range(height), range(width)):
        for v, u in product(range(height), range(width)):
            if abs(v - y) <= down and abs(u - x) <= right:
                best[b, k, y, x] = max(float(best[b, k, y, x]), cosine(q[b, :, y, x], s[k, :, v, u]))
    return best


@pytest.mark.parametrize("radius", [0.0, 0.2, 0.4, 0.9, 1.0])
def test_largest_cosine_is_that_of_the_loops_on_an_uneven_grid(radius: float) -> None:
    q, s = features(2, 3, 5, 4), features(3, 3, 5, 4, seed=1)
    expected = slow_cosines(q, s, min(round(radius * 5 + 1e-9), 4), min(round(radius * 4 + 1e-9), 3))
    torch.testing.assert_close(largest_cosine(q, s, radius), expected)


def test_whole_grid_in_chunks_is_the_whole_grid_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    q, s = features(3, 5, 6, 4), features(2, 5, 6, 4, seed=1)
    whole = largest_cosine(q, s, 1.0)
    monkeypatch.setattr(matching, "CHUNK_VALUES", 7 * 24)  # 7 positions at a time, across images
    torch.testing.assert_close(largest_cosine(q, s, 1.0), whole, rtol=1e-12, atol=1e-12)


def test_window_does_not_find_the_padding_where_all_cosines_are_negative() -> None:
    q = torch.ones(1, 2, 3, 3)
    assert torch.allclose(largest_cosine(q, -q, 1 / 3), -torch.ones(1, 1, 3, 3))


@pytest.mark.parametrize(
    ("radius", "side", "expected"),
    [(0.0, 32, 0), (1 / 16, 32, 2), (1 / 16, 16, 1), (1 / 16, 8, 1), (1 / 16, 7, 0), (1.0, 8, 7)],
)
def test_radius_is_a_share_of_the_side(radius: float, side: int, expected: int) -> None:
    assert reach(radius, side) == expected


def test_nearest_takes_the_best_support_and_place_whatever_the_weights() -> None:
    q, s = features(2, 3, 4, 4), features(3, 3, 4, 4, seed=1)
    expected = 1 - slow_cosines(q, s, 1, 1).amax(dim=1)
    for weights in (torch.eye(3, dtype=q.dtype)[:2], torch.full((2, 3), 1 / 3, dtype=q.dtype)):
        torch.testing.assert_close(matched_residual(q, s, weights, matching="nearest", radius=0.25), expected)


def test_weighted_window_weights_the_distances_or_looks_around_in_the_fused_support() -> None:
    q, s, w = features(2, 3, 4, 4), features(3, 3, 4, 4, seed=1), features(2, 3, seed=2).softmax(dim=1)
    distances = 1 - slow_cosines(q, s, 1, 1)
    expected = torch.stack([sum(w[b, k] * distances[b, k] for k in range(3)) for b in range(2)])
    torch.testing.assert_close(matched_residual(q, s, w, radius=0.25, fusion="distances"), expected)
    fused = torch.stack([sum(w[b, k] * s[k] for k in range(3)) for b in range(2)])
    expected = torch.stack([1 - slow_cosines(q[b : b + 1], fused[b : b + 1], 1, 1)[0, 0] for b in range(2)])
    torch.testing.assert_close(matched_residual(q, s, w, radius=0.25, fusion="features"), expected)


@pytest.mark.parametrize("fusion", ["features", "distances"])
def test_weighted_without_a_window_is_the_methods_own_residual(fusion: str) -> None:
    q, s, w = features(2, 3, 4, 4), features(3, 3, 4, 4, seed=1), features(2, 3, seed=2).softmax(dim=1)
    assert torch.equal(matched_residual(q, s, w, fusion=fusion), support_residual(q, s, w, None, fusion))


def test_subspace_residual_is_that_of_a_least_squares_fit_at_each_position() -> None:
    q, s = features(2, 48, 3, 2), features(3, 48, 3, 2, seed=1)  # many channels: vectors far from parallel
    found = subspace_residual(q, s)
    for b, y, x in product(range(2), range(3), range(2)):
        basis = s[:, :, y, x].T
        fit = basis @ torch.linalg.lstsq(basis, q[b, :, y, x, None]).solution[:, 0]
        assert float(found[b, y, x]) == pytest.approx(1 - cosine(q[b, :, y, x], fit), abs=RIDGE)


def test_ridge_of_the_subspace_is_the_stated_one() -> None:
    q, s = features(2, 6, 3, 2), features(3, 6, 3, 2, seed=1)
    found = subspace_residual(q, s)
    for b, y, x in product(range(2), range(3), range(2)):
        unit = q[b, :, y, x] / q[b, :, y, x].norm()
        basis = torch.stack([s[k, :, y, x] / s[k, :, y, x].norm() for k in range(3)], dim=1)
        inner = basis.T @ unit
        explained = inner @ torch.linalg.inv(basis.T @ basis + RIDGE * torch.eye(3, dtype=q.dtype)) @ inner
        assert float(found[b, y, x]) == pytest.approx(1 - float(explained) ** 0.5, rel=1e-9)


def test_mixture_of_supports_lies_in_their_subspace_and_equal_supports_are_no_trouble() -> None:
    s = features(2, 6, 3, 3)
    mixture = (2 * s[0] - 3 * s[1])[None]
    assert subspace_residual(mixture, s).max() < 5e-3
    assert subspace_residual(mixture, s[:1].repeat(3, 1, 1, 1)).min() > 1e-2
    assert subspace_residual(s[:1], s[:1].repeat(3, 1, 1, 1)).max() < 5e-3


def test_shifted_query_is_no_anomaly_within_the_window_and_one_without() -> None:
    s = features(1, 8, 8, 8)
    q = s.roll(1, dims=3)
    inner = matched_residual(q, s, torch.ones(1, 1, dtype=q.dtype), radius=1 / 8)[..., 1:]
    assert inner.max() < 1e-9
    assert matched_residual(q, s, torch.ones(1, 1, dtype=q.dtype))[..., 1:].mean() > 0.5


def test_defaults_leave_the_map_as_the_method_has_it(model: d2.D24FAD) -> None:
    c = d2.D24FADConfig()
    assert (c.matching, c.match_radius, c.compare_in) == ("weighted", 0.0, "student")
    for preset in (d2.D24FADConfig.official(), d2.D24FADConfig.paper()):
        assert (preset.matching, preset.match_radius, preset.compare_in) == ("weighted", 0.0, "student")
    assert model.encode_supports(images(2, 0)).teacher == []


def test_both_spaces_is_the_sum_of_the_two_maps(model: d2.D24FAD) -> None:
    changes = dict(matching="nearest", match_radius=1 / 16)
    maps = {}
    for space in ("student", "teacher", "both"):
        view = model.read_as(compare_in=space, **changes)
        maps[space] = view.raw_map(images(3, 1), view.encode_supports(images(4, 0)))
    torch.testing.assert_close(maps["both"], maps["student"] + maps["teacher"])
    assert (maps["teacher"] - maps["student"]).abs().max() > 1e-2


def test_support_itself_scores_zero_in_teacher_space_and_the_score_ignores_its_companions(model: d2.D24FAD) -> None:
    view = model.read_as(compare_in="teacher", matching="nearest", match_radius=1 / 16)
    supports, queries = images(4, 0), images(5, 1)
    bank = view.encode_supports(supports)
    assert view.predict(supports, bank).score.max() < 1e-5
    whole = view.predict(queries, bank).score
    torch.testing.assert_close(torch.cat([view.predict(q[None], bank).score for q in queries]), whole)


def test_bank_keeps_teacher_levels_when_selected_and_joined(model: d2.D24FAD) -> None:
    view = model.read_as(compare_in="teacher")
    whole = view.encode_supports(images(4, 0))
    again = d2.SupportBank.join([whole.select([2, 3]), whole.select([0])]).select([2, 0, 1])
    for have, want in zip(again.teacher, whole.select([0, 2, 3]).teacher, strict=True):
        assert torch.equal(have, want)


def test_bank_encoded_without_teacher_levels_is_refused_by_name(model: d2.D24FAD) -> None:
    bank = model.encode_supports(images(2, 0))
    with pytest.raises(ValueError, match="compare_in='teacher' needs the teacher's levels, and the bank of supports"):
        model.read_as(compare_in="teacher").predict(images(1, 1), bank)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(matching="near"), "matching='near' is not known; choose one of 'weighted', 'nearest', 'subspace'"),
        (dict(compare_in="pupil"), "compare_in='pupil' is not known"),
        (dict(match_radius=-0.1), "match_radius=-0.1 must lie between 0 and 1"),
        (dict(matching="subspace", match_radius=0.1), "set match_radius=0, or choose matching='nearest'"),
    ],
)
def test_setting_out_of_range_names_the_way_out(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        d2.D24FADConfig(**changes)


def test_saved_detector_keeps_its_matching_and_scores(model: d2.D24FAD, tmp_path: Path) -> None:
    ours = d2.D24FAD(CONFIG.replace(matching="nearest", match_radius=1 / 16, compare_in="both"))
    path = ours.save(tmp_path / "ours.safetensors")
    back = d2.D24FAD.load(path)
    assert back.config == ours.config
    before, after = (m.predict(images(2, 1), m.encode_supports(images(3, 0))).score for m in (ours, back))
    assert torch.equal(before, after)


def test_file_from_before_these_settings_loads_with_their_defaults(model: d2.D24FAD, tmp_path: Path) -> None:
    tensors, facts = read_tensors(model.save(tmp_path / "new.safetensors"))
    facts["config"] = {name: value for name, value in facts["config"].items() if name not in OURS}
    back = d2.D24FAD.load(write_tensors(tmp_path / "old.safetensors", tensors, facts))
    assert back.config == model.config
