"""Suggesting supports: which K of N normal images stand for all of them, seen through the teacher's features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from d24fad_lite.data.supports import draw_supports
from d24fad_lite.messages import choose_one_of

if TYPE_CHECKING:
    from d24fad_lite.data.image_set import ImageSet
    from d24fad_lite.model.detector import D24FAD

Strategy = Callable[[np.ndarray, int, int], list[int]]
# Strategies that look at all pairs work on an even subset of the images beyond this many.
MAX_PAIRWISE = 4096
MOST_NEIGHBOURS = 20  # of the typicality, as in TypiClust


def choose(
    strategy: str,
    n: int,
    shots: int,
    features: np.ndarray | None = None,
    seed: int = 0,
    keep: Sequence[int] = (),
    among: np.ndarray | None = None,
) -> list[int]:
    """Positions that fill `keep` up to `shots` supports, in order of choice.

    Parameters
    ----------
    strategy : {"random", "farthest", "medoids", "typical", "diverse", "herding", "typicality"}
        What each does is said at its function below; `STRATEGY_NAMES` holds their names for people.
    n : int
        Number of candidates.
    shots : int
        Supports wanted in all, those of `keep` included.
    features : ndarray, float [N, D], optional
        One row per candidate, see `describe`; "random" needs none.
    seed : int
        Of "random" only; with nothing kept, it gives draw 0 of `draw_supports(n, shots, 1, seed)`.
    keep : sequence of int
        Positions that are chosen already.
    among : ndarray of int, optional
        Positions that may be chosen, default all.

    Returns
    -------
    list of int
        Positions in 0..n-1, without those of `keep`.

    Raises
    ------
    ValueError
        Unknown strategy, features that are absent or of another shape, or too few images to choose from.
    """
    if strategy not in STRATEGIES:
        raise ValueError(choose_one_of("strategy", strategy, STRATEGIES))
    allowed = np.arange(n) if among is None else np.asarray(among, np.int64)
    pool = np.setdiff1d(allowed, np.asarray(keep, np.int64))
    wanted = shots - len(keep)
    if len(pool) < wanted:
        raise ValueError(f"{wanted} more supports are wanted, {len(pool)} images are there to choose from")
    if wanted <= 0:
        return []
    if strategy == "random":
        order = draw_supports(n, n, 1, seed)[0]
        return order[np.isin(order, pool)][:wanted].tolist()
    if features is None:
        raise ValueError(
            f"strategy {strategy!r} compares the images' features; give features= [N, D], "
            "for example strategies.describe(model, candidates)"
        )
    features = np.asarray(features, np.float32)
    if features.ndim != 2 or len(features) != n or not np.isfinite(features).all():
        raise ValueError(f"features have shape {features.shape}, expected [{n}, D], finite, one row per candidate")
    candidates = np.concatenate([np.asarray(keep, np.int64), pool])
    chosen = STRATEGIES[strategy](features[candidates], wanted, len(keep))
    return [int(candidates[i]) for i in chosen]


def _farthest(x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """Greedy farthest point: each next image is the one least like all chosen so far; the first is the most typical."""
    chosen: list[int] = []
    nearest = np.full(len(x), np.inf, np.float32)  # squared distance to the closest chosen image
    for i in range(kept):
        nearest = np.minimum(nearest, _squared(x, x[i]))
    nearest[:kept] = -1
    while len(chosen) < wanted:
        following = int(np.argmax(nearest)) if kept or chosen else _typical(x, 1, 0)[0]
        chosen.append(following)
        nearest = np.minimum(nearest, _squared(x, x[following]))
        nearest[chosen] = -1
    return chosen


def _medoids(x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """k-medoids: images whose summed distance to all others' nearest medoid is small (BUILD, then reassignment)."""
    if len(x) > MAX_PAIRWISE:
        return _on_even_part(_medoids, x, wanted, kept)
    distance = np.sqrt(_squared_pairs(x))  # [N, N]
    chosen = list(range(kept))
    nearest = distance[:, chosen].min(axis=1) if chosen else distance.max(axis=1)
    for _ in range(wanted):
        total = np.minimum(nearest[:, None], distance).sum(axis=0)
        total[chosen] = np.inf
        chosen.append(int(np.argmin(total)))
        nearest = np.minimum(nearest, distance[:, chosen[-1]])
    for _ in range(50):
        owner = np.argmin(distance[:, chosen], axis=1)
        moved = list(chosen)
        for cluster in range(kept, len(chosen)):
            members = np.flatnonzero(owner == cluster)
            if len(members):
                moved[cluster] = int(members[np.argmin(distance[np.ix_(members, members)].sum(axis=0))])
        if moved == chosen or len(set(moved)) < len(moved):
            break
        chosen = moved
    return chosen[kept:]


def _typical(x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """The images closest to the mean of all."""
    away = _squared(x, x.mean(axis=0))
    away[:kept] = np.inf
    return [int(i) for i in np.argsort(away, kind="stable")[:wanted]]


def _diverse(x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """Greedy largest volume: each next image adds most that the chosen ones do not span (pivoted Gram-Schmidt)."""
    rest = x - x.mean(axis=0)
    for i in range(kept):
        rest = _without(rest, rest[i])
    chosen: list[int] = []
    while len(chosen) < wanted:
        left = (rest**2).sum(axis=1)
        left[[*range(kept), *chosen]] = -1
        chosen.append(int(np.argmax(left)))
        rest = _without(rest, rest[chosen[-1]])
    return chosen


def _herding(x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """Greedy generalised coverage: each next image raises Σ_i max_{s in S} k(x_i, s) most, k an RBF kernel.

    MaxHerding of Bae et al., Generalized Coverage for More Robust Low-Budget Active Learning, ECCV 2024. The kernel is
    exp(-d² / (2 σ²)); σ is the median distance of two images, so that no unit has to be chosen.
    """
    if len(x) > MAX_PAIRWISE:
        return _on_even_part(_herding, x, wanted, kept)
    squares = _squared_pairs(x)  # [N, N]
    apart = squares[~np.eye(len(x), dtype=bool)]
    variance = float(np.median(apart)) if len(apart) else 0.0
    kernel = np.exp(-squares / (2 * (variance or 1.0)))  # [N, N]
    covered = kernel[:, :kept].max(axis=1) if kept else np.zeros(len(x), x.dtype)
    chosen: list[int] = []
    while len(chosen) < wanted:
        gain = np.maximum(kernel - covered[:, None], 0).sum(axis=0)
        gain[[*range(kept), *chosen]] = -1
        chosen.append(int(np.argmax(gain)))
        covered = np.maximum(covered, kernel[:, chosen[-1]])
    return chosen


def _typicality(x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """The images with the closest neighbours: the opposite of farthest point, which looks for the loneliest.

    The typicality is 1 / (mean distance to the k nearest neighbours), as in Hacohen et al., Active Learning on a
    Budget: Opposite Strategies Suit High and Low Budgets, ICML 2022 (TypiClust). k is √N, at most 20. TypiClust takes
    one image out of each cluster; here there are no clusters, so the images may all come out of the densest part.
    """
    if len(x) > MAX_PAIRWISE:
        return _on_even_part(_typicality, x, wanted, kept)
    neighbours = min(MOST_NEIGHBOURS, max(1, round(len(x) ** 0.5)), max(1, len(x) - 1))
    distance = np.sqrt(_squared_pairs(x))
    np.fill_diagonal(distance, np.inf)  # nobody is a neighbour of its own
    away = np.sort(distance, axis=1)[:, :neighbours].mean(axis=1)  # 1 / typicality, [N]
    away[:kept] = np.inf
    order = np.argsort(away, kind="stable")
    return [int(i) for i in order[order >= kept][:wanted]]


def _on_even_part(strategy: Strategy, x: np.ndarray, wanted: int, kept: int) -> list[int]:
    """What a strategy chooses among `MAX_PAIRWISE` rows: the kept ones and an even part of the others."""
    even = np.linspace(kept, len(x) - 1, MAX_PAIRWISE - kept).astype(int)
    part = np.unique(np.concatenate([np.arange(kept), even]))
    return [int(part[i]) for i in strategy(x[part], wanted, kept)]


def _without(x: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Rows [N, D] minus their part along a direction [D]."""
    length = float(direction @ direction)
    return x - np.outer(x @ direction / length, direction) if length > 1e-12 else x


def _squared(x: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Squared distance [N] of each row [N, D] to a point [D]."""
    return ((x - point) ** 2).sum(axis=1)


def _squared_pairs(x: np.ndarray) -> np.ndarray:
    """Squared distance [N, N] of every two rows of [N, D], never negative, exactly 0 of a row to itself."""
    squares = (x**2).sum(axis=1)
    pairs = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
    np.fill_diagonal(pairs, 0)
    return pairs


# Each takes features [N, D] whose first `kept` rows are chosen already, and gives the rows of `wanted` more.
STRATEGIES: dict[str, Strategy] = {
    "random": lambda x, wanted, kept: list(range(kept, kept + wanted)),
    "farthest": _farthest,
    "medoids": _medoids,
    "typical": _typical,
    "diverse": _diverse,
    "herding": _herding,
    "typicality": _typicality,
}
# What people read in place of the key.
STRATEGY_NAMES = {
    "random": "at random",
    "farthest": "far apart",
    "medoids": "k-medoids",
    "typical": "closest to the mean",
    "diverse": "most diverse",
    "herding": "best coverage (MaxHerding)",
    "typicality": "closest neighbours (typicality)",
}
NEEDS_FEATURES = frozenset(STRATEGIES) - {"random"}


def describe(model: D24FAD, candidates: ImageSet, batch_size: int = 32) -> np.ndarray:
    """One vector per image from the frozen teacher, float32 [N, D].

    Each level and the embedding are averaged over their grid and brought to length 1, so that every level counts alike,
    whatever its number of channels; D is the sum of the channels.

    Parameters
    ----------
    model : D24FAD
    candidates : ImageSet
    batch_size : int
        Images encoded at a time, default 32.

    Returns
    -------
    float32 [N, D]
    """
    import torch
    from torch.nn.functional import normalize

    vectors = []
    for start in range(0, len(candidates), batch_size):
        images = candidates.images(model.config.image_size, slice(start, start + batch_size))  # [B, 3, S, S]
        features = model.teacher(images.to(model.teacher.mean.device))
        pooled = [normalize(f.float().mean(dim=(2, 3)), dim=1) for f in (*features.levels, features.embedding)]
        vectors.append(torch.cat(pooled, dim=1).cpu().numpy())  # [B, D]
    return np.concatenate(vectors)
