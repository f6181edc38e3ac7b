"""Which images form an episode: a query and K normal supports of its own task. Index arithmetic only, no pixels.

The method trains on episodes (Dong et al., ICLR 2026): a query and K supports drawn from the normal training images of
the query's task, never the query itself. Everything here is a pure function of its seeds: epoch 7 is the same whether
epochs 0 to 6 were run or not, so a resumed run needs no state of a random generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from d24fad_lite.data.supports import EPOCHS, FIXED, check_shots, seeded_generator, whole_number
from d24fad_lite.messages import choose_one_of
from d24fad_lite.training.settings import EPISODES, FitSettings


@dataclass(frozen=True, eq=False)
class EpisodeBatch:
    """B episodes. Positions count through the training sets laid one after the other, in the order of `sizes`.

    Attributes
    ----------
    queries : int64 [B]
        Position of each query.
    supports : int64 [K, B]
        Positions of the supports; column b belongs to query b.
    tasks : int64 [B]
        Index of each query's task.
    support_rows : int64 [K, B], or None
        For in-batch episodes: the rows of `queries` that hold the supports, so that features of the batch serve twice
        (`queries[support_rows] == supports`). None for independent episodes.
    """

    queries: np.ndarray
    supports: np.ndarray
    tasks: np.ndarray
    support_rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.queries)

    def part(self, process: int, processes: int) -> EpisodeBatch:
        """Independent episodes of one of several processes; a batch too small to be shared out goes to each whole."""
        if processes == 1 or len(self) < processes:
            return self
        mine = slice(process, None, processes)
        return EpisodeBatch(self.queries[mine], self.supports[:, mine], self.tasks[mine])


class EpisodeSampler:
    """Batches of episodes over several tasks; in every epoch each usable image is a query exactly once.

    Parameters
    ----------
    sizes : sequence of int
        Number of normal training images of each task.
    shots : int
        Supports K per query, >= 1.
    batch_size : int, default 16
        Queries per batch, >= 1; the last batch may be smaller.
    seed : int, default 0
        0 or more.
    episodes : {"independent", "in-batch"}, default "independent"
        "independent": every query has K supports of its own, as in the method. "in-batch": a batch holds at least K+1
        images of each task in it, about 2K where there is room, and supports are drawn among a query's task mates in
        the batch. Groups that cannot be split evenly grow, so a batch may exceed `batch_size` by up to K images per
        group.
    redraw : bool, default True
        True draws supports anew in every epoch and without repeats. False is the released code's way: supports are
        drawn once per query, repeats possible (never the query itself); independent episodes only.
    indices : sequence of sequences of int, optional
        For each task the positions within its set that may be used as queries and supports; default all. The rest is
        held out, for validation.
    names, folders : sequence of str, optional
        Names of the tasks and of their training folders, for messages.

    Raises
    ------
    ValueError
        A task with fewer than K+1 usable images, an in-batch size below K+1, unknown or contradictory settings.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        shots: int,
        batch_size: int = FitSettings.batch_size,
        seed: int = FitSettings.seed,
        episodes: str = FitSettings.episodes,
        redraw: bool = True,
        indices: Sequence[Sequence[int] | np.ndarray] | None = None,
        names: Sequence[str] | None = None,
        folders: Sequence[str] | None = None,
    ) -> None:
        self.shots = whole_number("shots", shots, 1)
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.seed = whole_number("seed", seed, 0)
        if episodes not in EPISODES:
            raise ValueError(choose_one_of("episodes", episodes, EPISODES))
        if episodes == "in-batch" and not redraw:
            raise ValueError('redraw=False needs episodes="independent": in-batch supports depend on the batch')
        if episodes == "in-batch" and self.batch_size <= self.shots:
            raise ValueError(
                f"in-batch episodes with {shots} shots need a batch_size of at least {shots + 1} "
                f"({shots} supports and a query), got {batch_size}; raise batch_size or lower shots"
            )
        self.episodes = episodes
        self.redraw = redraw
        self.pools = _pools(sizes, indices)
        for index, pool in enumerate(self.pools):
            name = names[index] if names is not None else str(index)
            check_shots(len(pool), shots, name=name, location=folders[index] if folders is not None else "")
        self._positions = np.concatenate(self.pools)  # [N]
        self._tasks = np.repeat(np.arange(len(self.pools)), [len(pool) for pool in self.pools])  # [N]

    def __len__(self) -> int:
        """Batches per epoch, the same in every epoch."""
        if self.episodes == "independent":
            return -(-len(self._positions) // self.batch_size)
        groups = sum(self._group_count(len(pool)) for pool in self.pools)
        return -(-groups // self._groups_per_batch())

    def epoch(self, epoch: int) -> list[EpisodeBatch]:
        """The batches of one epoch: a pure function of (seed, epoch) and the arguments above."""
        generator = seeded_generator(EPOCHS, self.seed, whole_number("epoch", epoch, 0))
        batches = self._independent(generator) if self.episodes == "independent" else self._in_batch(generator)
        return list(batches)

    def _independent(self, generator: np.random.Generator) -> Iterator[EpisodeBatch]:
        order = _shuffled(np.arange(len(self._positions)), generator)  # [N]
        source = generator if self.redraw else seeded_generator(FIXED, self.seed, 0)
        supports = np.empty((self.shots, len(order)), np.int64)  # [K, N], in the order of the pools
        for task, pool in enumerate(self.pools):
            own = np.arange(len(pool))
            drawn = _others(own, len(pool), self.shots, source, repeats=not self.redraw)  # [K, n]
            supports[:, self._tasks == task] = pool[drawn]
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield EpisodeBatch(self._positions[rows], supports[:, rows], self._tasks[rows])

    def _in_batch(self, generator: np.random.Generator) -> Iterator[EpisodeBatch]:
        groups: list[tuple[int, np.ndarray]] = []
        for task, pool in enumerate(self.pools):
            parts = np.array_split(_shuffled(pool, generator), self._group_count(len(pool)))
            groups += [(task, part) for part in parts]
        groups = [groups[i] for i in _shuffled(np.arange(len(groups)), generator)]
        per_batch = self._groups_per_batch()
        for start in range(0, len(groups), per_batch):
            chosen = groups[start : start + per_batch]
            queries = np.concatenate([part for _, part in chosen])  # [B]
            tasks = np.concatenate([np.full(len(part), task) for task, part in chosen])  # [B]
            rows = np.empty((self.shots, len(queries)), np.int64)  # [K, B]
            for task in np.unique(tasks):
                mates = np.flatnonzero(tasks == task)
                rows[:, mates] = mates[_others(np.arange(len(mates)), len(mates), self.shots, generator)]
            yield EpisodeBatch(queries, queries[rows], tasks, rows)

    def _groups_per_batch(self) -> int:
        # Groups of exactly K+1 would leave no choice of supports, so twice K is aimed at where the batch has room.
        return max(1, self.batch_size // max(2 * self.shots, self.shots + 1))

    def _group_count(self, n: int) -> int:
        """Groups for a task of n images: about batch_size / groups_per_batch each, never below K+1."""
        size = self.batch_size // self._groups_per_batch()
        return max(1, min(-(-n // size), n // (self.shots + 1)))


def _others(own: np.ndarray, n: int, count: int, generator: np.random.Generator, repeats: bool = False) -> np.ndarray:
    """For each entry of `own` [N], `count` numbers below n other than itself, int64 [count, N].

    Without repeats: the j-th pick is a rank among the numbers not taken yet; stepping over the taken ones in ascending
    order turns rank into number. All entries at once, so that 10,000 queries cost K passes and not 10,000 generators.
    """
    taken = own[:, None].astype(np.int64)  # [N, 1 + picks so far], sorted along the row
    picks = []
    for _ in range(count):
        free = n - taken.shape[1]
        rank = np.minimum((generator.random(len(own)) * free).astype(np.int64), free - 1)  # [N]
        for column in taken.T:
            rank += rank >= column
        picks.append(rank)
        if not repeats:
            taken = np.sort(np.concatenate([taken, rank[:, None]], axis=1), axis=1)
    return np.stack(picks)  # [count, N]


def _pools(sizes: Sequence[int], indices: Sequence[Sequence[int] | np.ndarray] | None) -> list[np.ndarray]:
    """Usable positions of each task in the concatenation of all sets."""
    if len(sizes) == 0:
        raise ValueError("sizes is empty: episodes need at least one task with normal training images")
    if indices is not None and len(indices) != len(sizes):
        raise ValueError(f"indices must list positions for each of the {len(sizes)} tasks, got {len(indices)} lists")
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    pools = []
    for task, size in enumerate(sizes):
        allowed = np.arange(size) if indices is None else np.asarray(indices[task], np.int64).reshape(-1)
        if len(np.unique(allowed)) < len(allowed) or np.any((allowed < 0) | (allowed >= size)):
            raise ValueError(f"indices of task {task} must be distinct positions from 0 to {size - 1}")
        pools.append(offsets[task] + allowed)
    return pools


def _shuffled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    # Sorting random numbers, because numpy may change the stream of permutation() but hardly that of random().
    return values[np.argsort(generator.random(len(values)), kind="stable")]
