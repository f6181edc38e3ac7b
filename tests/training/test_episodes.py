"""Episodes: what a support set may hold, how epochs cover the images, and that seeds alone decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d24fad_lite.data.supports import draw_supports
from d24fad_lite.training.episodes import EpisodeBatch, EpisodeSampler

SHOTS = st.integers(1, 8)
SEEDS = st.integers(0, 2**32)


@st.composite
def samplers(draw: st.DrawFn, modes: tuple[str, ...] = ("independent", "in-batch")) -> EpisodeSampler:
    shots = draw(SHOTS)
    sizes = draw(st.lists(st.integers(shots + 3, 40), min_size=1, max_size=4))
    indices = None
    if draw(st.booleans()):
        indices = [np.sort(np.random.default_rng(n).permutation(n)[: n - draw(st.integers(0, 2))]) for n in sizes]
    batch_size = draw(st.integers(shots + 1, 24))
    return EpisodeSampler(sizes, shots, batch_size, draw(SEEDS), draw(st.sampled_from(modes)), indices=indices)


def joined(batches: list[EpisodeBatch]) -> EpisodeBatch:
    return EpisodeBatch(
        np.concatenate([b.queries for b in batches]),
        np.concatenate([b.supports for b in batches], axis=1),
        np.concatenate([b.tasks for b in batches]),
    )


# --- evaluation draws ------------------------------------------------------------------------------------------------


@given(st.integers(8, 60), SHOTS, st.integers(1, 6), SEEDS)
def test_draws_are_nested_over_shots(n, shots, draws, seed):
    assert np.array_equal(draw_supports(n, shots, draws, seed), draw_supports(n, 8, draws, seed)[:, :shots])


@given(st.integers(8, 60), SHOTS, st.integers(1, 6), SEEDS)
def test_draws_have_no_repeats_and_stay_in_range(n, shots, draws, seed):
    sets = draw_supports(n, shots, draws, seed)
    assert sets.shape == (draws, shots) and sets.dtype == np.int64
    assert sets.min() >= 0 and sets.max() < n
    assert all(len(set(row)) == shots for row in sets.tolist())


@given(st.integers(8, 60), st.integers(1, 6), SEEDS)
def test_more_draws_do_not_change_earlier_ones(n, draws, seed):
    assert np.array_equal(draw_supports(n, 4, draws, seed), draw_supports(n, 4, draws + 3, seed)[:draws])


def test_draws_differ_between_draws_and_seeds():
    sets = draw_supports(100, 8, 5, 0)
    assert len({tuple(row) for row in sets.tolist()}) == 5
    assert not np.array_equal(sets, draw_supports(100, 8, 5, 1))


def test_draws_are_stable_across_releases():
    # Published tables name a seed; these numbers must never change.
    assert draw_supports(10, 4, 3, 0).tolist() == [[9, 2, 4, 7], [3, 1, 7, 9], [2, 0, 7, 9]]


def test_every_image_is_drawn_about_equally_often():
    counts = np.bincount(draw_supports(10, 4, 2000, 0).ravel(), minlength=10)
    assert np.abs(counts - 800).max() < 120  # five standard deviations of a binomial(2000, 0.4)


def test_a_larger_comparison_is_refused_at_once():
    draw_supports(5, 2, 1, 0)
    with pytest.raises(ValueError, match="has 5 normal training images, 8 shots need at least 8; lower shots"):
        draw_supports(5, 2, 1, 0, max_shots=8)


# --- training episodes -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(samplers(), st.integers(0, 50))
def test_supports_are_other_images_of_the_same_task_without_repeats(sampler, epoch):
    task_of = np.repeat(np.arange(len(sampler.pools)), [len(pool) for pool in sampler.pools])
    task_of = dict(zip(np.concatenate(sampler.pools).tolist(), task_of.tolist(), strict=True))
    for batch in sampler.epoch(epoch):
        assert batch.supports.shape == (sampler.shots, len(batch))
        for query, supports, task in zip(batch.queries.tolist(), batch.supports.T.tolist(), batch.tasks, strict=True):
            assert query not in supports
            assert len(set(supports)) == sampler.shots
            assert {task_of[i] for i in [query, *supports]} == {task}


@settings(max_examples=60, deadline=None)
@given(samplers(), st.integers(0, 50))
def test_every_usable_image_is_a_query_exactly_once_per_epoch(sampler, epoch):
    batches = sampler.epoch(epoch)
    assert sorted(joined(batches).queries.tolist()) == sorted(np.concatenate(sampler.pools).tolist())
    assert len(batches) == len(sampler)


@settings(max_examples=30, deadline=None)
@given(samplers(), st.integers(0, 50))
def test_an_epoch_depends_on_seed_and_number_alone(sampler, epoch):
    first = joined(sampler.epoch(epoch))
    sampler.epoch(epoch + 1)
    again = joined(sampler.epoch(epoch))
    assert np.array_equal(first.queries, again.queries) and np.array_equal(first.supports, again.supports)


@settings(max_examples=60, deadline=None)
@given(samplers(modes=("in-batch",)), st.integers(0, 50))
def test_in_batch_supports_are_rows_of_their_batch(sampler, epoch):
    for batch in sampler.epoch(epoch):
        assert np.array_equal(batch.queries[batch.support_rows], batch.supports)
        _, counts = np.unique(batch.tasks, return_counts=True)
        assert counts.min() >= sampler.shots + 1
        groups = max(1, sampler.batch_size // max(2 * sampler.shots, sampler.shots + 1))
        assert len(batch) <= sampler.batch_size + groups * sampler.shots


def test_in_batch_episodes_mix_tasks_where_there_is_room():
    batches = EpisodeSampler([64, 64, 64, 64], 2, 16, 0, "in-batch").epoch(0)
    assert {len(batch) for batch in batches} == {16}
    assert np.mean([len(set(batch.tasks)) for batch in batches]) > 2


def test_independent_batches_have_the_asked_size_and_no_rows():
    batches = EpisodeSampler([20, 21], 4, 16).epoch(0)
    assert [len(batch) for batch in batches] == [16, 16, 9]
    assert all(batch.support_rows is None for batch in batches)


def supports_by_query(sampler: EpisodeSampler, epoch: int) -> dict[int, tuple[int, ...]]:
    batch = joined(sampler.epoch(epoch))
    return dict(zip(batch.queries.tolist(), map(tuple, batch.supports.T.tolist()), strict=True))


def test_redrawn_supports_change_between_epochs_and_seeds():
    sampler = EpisodeSampler([50], 4)
    first = supports_by_query(sampler, 0)
    assert first != supports_by_query(sampler, 1)
    assert first != supports_by_query(EpisodeSampler([50], 4, seed=1), 0)


def test_fixed_supports_stay_while_the_order_changes():
    sampler = EpisodeSampler([50, 30], 4, redraw=False, seed=3)
    assert supports_by_query(sampler, 0) == supports_by_query(sampler, 9)
    assert not np.array_equal(joined(sampler.epoch(0)).queries, joined(sampler.epoch(1)).queries)


def test_fixed_supports_may_repeat_but_are_never_the_query():
    drawn = supports_by_query(EpisodeSampler([9], 8, redraw=False), 0)
    assert any(len(set(supports)) < 8 for supports in drawn.values())
    assert all(query not in supports for query, supports in drawn.items())


@pytest.mark.parametrize("redraw", [True, False])
def test_every_other_image_is_an_equally_likely_support(redraw):
    counts = np.zeros((7, 7))
    for seed in range(600):
        for query, supports in supports_by_query(EpisodeSampler([7], 3, seed=seed, redraw=redraw), 0).items():
            np.add.at(counts[query], list(supports), 1)
    others = counts[~np.eye(7, dtype=bool)]
    assert np.diag(counts).sum() == 0
    assert np.abs(others - 300).max() < 90  # five standard deviations and a bit


def test_held_out_images_are_neither_queries_nor_supports():
    batch = joined(EpisodeSampler([10, 10], 4, indices=[range(0, 10, 2), range(5, 10)]).epoch(0))
    assert set(batch.queries) == set(batch.supports.ravel()) == {0, 2, 4, 6, 8, 15, 16, 17, 18, 19}


def test_a_task_may_have_just_enough_images():
    batch = joined(EpisodeSampler([5], 4).epoch(0))
    assert all(sorted([q, *s]) == [0, 1, 2, 3, 4] for q, s in zip(batch.queries, batch.supports.T, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [10, 3]}, r"task '1' has 3 normal training images, 4 shots need at least 5 \(4 supports and a que"),
        (
            {"sizes": [3], "names": ["RSNA"], "folders": ["RSNA/train/good"]},
            "task 'RSNA' has 3 .*; lower shots or add images under RSNA/train/good",
        ),
        ({"sizes": []}, "sizes is empty"),
        ({"shots": 0}, "shots must be a whole number of at least 1, got 0"),
        ({"shots": 2.5}, "shots must be a whole number"),
        ({"shots": True}, "shots must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        (
            {"episodes": "inbatch"},
            "episodes='inbatch' is not known; choose one of 'independent', 'in-batch' \\(did you",
        ),
        ({"episodes": "in-batch", "batch_size": 4}, "need a batch_size of at least 5"),
        ({"episodes": "in-batch", "redraw": False}, "redraw=False needs"),
        ({"indices": [[0, 0, 1, 2, 3]]}, "distinct positions from 0 to 9"),
        ({"indices": [[0, 1, 2, 3, 10]]}, "distinct positions from 0 to 9"),
        ({"indices": [[0, 1, 2, 3]]}, "has 4 normal training images"),
        ({"indices": []}, "for each of the 1 tasks"),
    ],
)
def test_impossible_episodes_are_refused_with_a_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(**({"sizes": [10], "shots": 4} | arguments))


@pytest.mark.parametrize("arguments", [(10, 0, 1, 0), (10, 4, 0, 0), (10, 4, 1, -1), (3, 4, 1, 0)])
def test_impossible_draws_are_refused(arguments):
    with pytest.raises(ValueError, match="must be a whole number|shots need at least"):
        draw_supports(*arguments)
