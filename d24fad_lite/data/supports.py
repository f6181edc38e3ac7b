"""Support sets: the K normal images that an evaluation compares with. Index arithmetic only, no pixels."""

from __future__ import annotations

from numbers import Integral

import numpy as np

# First words of the seed sequences: evaluation draws, training epochs and fixed supports must not share numbers.
DRAWS, EPOCHS, FIXED = 1, 2, 3


def draw_supports(n: int, shots: int, draws: int, seed: int, max_shots: int | None = None) -> np.ndarray:
    """Support sets for evaluation, int64 [draws, shots], positions below n, without repeats within a draw.

    Nested over shots: `draw_supports(n, 2, d, s)` is `draw_supports(n, 8, d, s)[:, :2]`, so a larger K only adds
    supports. Draw d depends on (n, d, seed) alone: more draws never change earlier ones.

    Parameters
    ----------
    n : int
        Number of images to draw from.
    shots : int
        Number K of supports in a set, at least 1.
    draws : int
        Number of sets, at least 1.
    seed : int
        Seed of the draws, at least 0.
    max_shots : int, optional
        Largest K that the comparison will use; an n too small for it is refused at once. Default: `shots`.

    Returns
    -------
    numpy.ndarray
        int64 [draws, shots], positions in 0..n-1.

    Raises
    ------
    ValueError
        Fewer images than supports, or an argument that is no whole number in its range.
    """
    draws, seed = whole_number("draws", draws, 1), whole_number("seed", seed, 0)
    for count in (shots, max_shots if max_shots is not None else shots):
        check_shots(n, count, query=False)
    orders = [np.argsort(seeded_generator(DRAWS, seed, draw).random(n), kind="stable") for draw in range(draws)]
    return np.stack([order[:shots] for order in orders]).astype(np.int64)  # [draws, K]


def leave_one_out(count: int) -> np.ndarray:
    """For each of `count` supports the positions of the others, int64 [count, count - 1].

    Raises ValueError for fewer than 2 supports: a single one has no others.
    """
    if count < 2:
        raise ValueError(f"leave-one-out needs at least 2 supports, got {count}")
    return np.array([[j for j in range(count) if j != i] for i in range(count)], dtype=np.int64)


def check_shots(n: int, shots: int, *, query: bool = True, name: str = "", location: str = "") -> None:
    """ValueError unless n normal images suffice for K = `shots` supports (and, with `query`, a query beside them)."""
    shots = whole_number("shots", shots, 1)
    needed = shots + int(query)
    if n < needed:
        parts = f" ({shots} supports and a query)" if query else ""
        add = f" or add images under {location}" if location else " or add images"
        raise ValueError(
            f"{f'task {name!r}' if name else 'the set'} has {n} normal training image{'s' * (n != 1)}, "
            f"{shots} shot{'s' * (shots != 1)} need at least {needed}{parts}; lower shots{add}"
        )


def seeded_generator(*words: int) -> np.random.Generator:
    """A generator that depends on these whole numbers alone; equal words give equal numbers on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(word) for word in words])))


def whole_number(name: str, value: int, least: int) -> int:
    """`value` as an int; ValueError unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)
