"""What each way of suggesting supports promises, on features whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.supports import strategies
from d24fad_lite.supports.strategies import STRATEGIES, choose, describe

RNG = np.random.default_rng(0)
CENTRES = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
CLUSTERS = np.concatenate([c + RNG.normal(0, 0.5, (20, 2)) for c in CENTRES]).astype(np.float32)


def test_random_is_the_draw_that_evaluation_makes() -> None:
    for seed in (0, 7):
        assert choose("random", 30, 4, seed=seed) == draw_supports(30, 4, 1, seed)[0].tolist()


def test_medoids_and_farthest_point_find_one_image_per_cluster() -> None:
    for name in ("medoids", "farthest"):
        assert sorted(i // 20 for i in choose(name, 60, 3, CLUSTERS)) == [0, 1, 2], name


def test_medoids_are_at_least_as_central_as_any_single_exchange() -> None:
    def cost(rows: list[int]) -> float:
        return float(np.linalg.norm(CLUSTERS[:, None] - CLUSTERS[rows], axis=2).min(axis=1).sum())

    found = choose("medoids", 60, 3, CLUSTERS)
    for place in range(3):
        for other in range(60):
            exchanged = [*found[:place], other, *found[place + 1 :]]
            assert cost(found) <= cost(exchanged) * 1.02


def test_typical_images_are_those_closest_to_the_mean() -> None:
    x = np.array([[0.0], [1], [2], [3], [100]], np.float32)
    assert choose("typical", 5, 1, x - np.median(x)) == [3]  # the mean is 21.2 beside the smallest value
    assert set(choose("typical", 4, 2, x[:4])) == {1, 2}


def test_diverse_images_span_what_the_data_span() -> None:
    x = np.zeros((40, 3), np.float32)
    x[:, 0] = np.linspace(-1, 1, 40)
    x[7, 1], x[23, 2] = 5, 4
    assert {7, 23} <= set(choose("diverse", 40, 3, x))


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(2, 25), st.data())
@settings(max_examples=150, deadline=None)
def test_every_strategy_gives_the_wanted_number_of_new_allowed_images(name: str, n: int, data: st.DataObject) -> None:
    x = data.draw(st.sampled_from([np.zeros((n, 4)), np.random.default_rng(n).normal(size=(n, 4))]))
    among = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    keep = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3))
    wanted = data.draw(st.integers(0, len(set(among) - set(keep))))
    found = choose(name, n, len(keep) + wanted, x, 1, keep, np.array(among))
    assert len(found) == len(set(found)) == wanted
    assert set(found) <= set(among) - set(keep)
    assert found == choose(name, n, len(keep) + wanted, x, 1, keep, np.array(among))


def test_large_sets_are_thinned_out_for_medoids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "MAX_PAIRWISE", 30)
    found = choose("medoids", 60, 3, CLUSTERS, keep=[5])
    assert sorted(i // 20 for i in found) == [1, 2]


def test_features_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="give features="):
        choose("typical", 5, 2)
    with pytest.raises(ValueError, match=r"expected \[5, D\]"):
        choose("typical", 5, 2, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="finite"):
        choose("typical", 2, 1, np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="6 more supports"):
        choose("typical", 5, 6, np.zeros((5, 2)))


def test_a_description_does_not_depend_on_the_batch(task: Task, model) -> None:
    whole, single = describe(model, task.train), describe(model, task.train, batch_size=3)
    assert whole.shape == (10, sum(model.teacher.channels) + model.teacher.pyramid.embedding_channels)
    np.testing.assert_allclose(whole, single, atol=1e-4)
    np.testing.assert_allclose((whole**2).sum(axis=1), len(model.teacher.channels) + 1, rtol=1e-3)
