"""What each way of suggesting supports promises, on features whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.supports import strategies
from d24fad_lite.supports.strategies import STRATEGIES, STRATEGY_NAMES, choose, describe

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


def herding_by_hand(x: np.ndarray, wanted: int, kept: list[int]) -> list[int]:
    """MaxHerding as its definition reads, coverage by coverage."""
    n = len(x)
    apart = sorted(float(((x[i] - x[j]) ** 2).sum()) for i in range(n) for j in range(i))
    variance = float(np.median(apart)) or 1.0

    def coverage(chosen: list[int]) -> float:
        return sum(max(np.exp(-((x[i] - x[s]) ** 2).sum() / (2 * variance)) for s in chosen) for i in range(n)) / n

    chosen: list[int] = []
    for _ in range(wanted):
        rest = [i for i in range(n) if i not in kept and i not in chosen]
        chosen.append(max(rest, key=lambda i: coverage([*kept, *chosen, i])))
    return chosen


def typicality_by_hand(x: np.ndarray, wanted: int, kept: list[int]) -> list[int]:
    """The highest inverse mean distances to the √N nearest neighbours."""
    n = len(x)
    k = min(20, round(n**0.5))

    def typicality(i: int) -> float:
        return k / sum(sorted(float(np.linalg.norm(x[i] - x[j])) for j in range(n) if j != i)[:k])

    return sorted((i for i in range(n) if i not in kept), key=typicality, reverse=True)[:wanted]


@pytest.mark.parametrize(("name", "by_hand"), [("herding", herding_by_hand), ("typicality", typicality_by_hand)])
@pytest.mark.parametrize("kept", [[], [2], [11, 4]])
def test_herding_and_typicality_are_what_their_definitions_say(name: str, by_hand, kept: list[int]) -> None:
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(17, 3))
        assert choose(name, 17, 5, x, keep=kept) == by_hand(x, 5 - len(kept), kept)


@given(st.integers(0, 10**6), st.integers(10, 40), st.integers(5, 8))
@settings(max_examples=40, deadline=None)
def test_typicality_shuns_the_outlier_that_farthest_point_takes_first(seed: int, large: int, small: int) -> None:
    rng = np.random.default_rng(seed)
    cluster, other = rng.normal(0, 1, (large, 4)), rng.normal(0, 1, (small, 4)) + np.array([30, 0, 0, 0])
    x = np.concatenate([cluster, other, [[0, 500, 0, 0]]])
    lonely = len(x) - 1
    first = choose("farthest", len(x), 2, x)[1]  # after the most typical image, which is where it starts
    assert first == lonely
    assert lonely not in choose("typicality", len(x), len(x) - 1, x)


@given(st.integers(0, 10**6), st.integers(12, 40), st.integers(5, 8))
@settings(max_examples=40, deadline=None)
def test_herding_covers_the_larger_cluster_first_and_then_the_smaller(seed: int, large: int, small: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(0, 0.5, (large, 3)), rng.normal(0, 0.5, (small, 3)) + np.array([40, 0, 0])])
    first, second = choose("herding", len(x), 2, x)
    assert first < large <= second or large > 4 * small


def test_every_strategy_has_a_name_for_people() -> None:
    assert list(STRATEGY_NAMES) == list(STRATEGIES) and len(set(STRATEGY_NAMES.values())) == len(STRATEGIES)


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


@pytest.mark.parametrize("name", ["medoids", "herding", "typicality"])
def test_large_sets_are_thinned_out_where_all_pairs_are_compared(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(strategies, "MAX_PAIRWISE", 30)
    found = choose(name, 60, 3, CLUSTERS, keep=[5])
    assert len(set(found) - {5}) == 2
    assert name == "typicality" or sorted(i // 20 for i in found) == [1, 2]


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
