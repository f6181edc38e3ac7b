"""Fractals of iterated function systems (IFS) as classes of a label-free, picture-free world.

An IFS is a handful of contracting affine maps; iterating a randomly chosen one of them from any point draws its
attractor. A class is one IFS; its instances are the attractors of slightly perturbed maps (Kataoka et al., Pre-training
without natural images, ACCV 2020). The maps are drawn by their singular values so that the attractors are neither dust
nor blobs (Anderson and Farrell, Improving fractal pre-training, WACV 2022).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from d24fad_lite.files import replacing

Array = np.ndarray

POINTS, WARM_UP, STEPS = 1500, 12, 36  # parallel orbits, iterations thrown away, iterations drawn
FILLED = 0.12  # a class must cover at least this share of its picture
PERTURBATION = 0.10  # of singular values and shifts, from instance to instance


class IteratedFunctionSystem:
    """N affine maps x -> A_i x + b_i, chosen with probability proportional to |det A_i|.

    The sum of sigma_1 + 2 sigma_2 over the maps lies in [(5 + N) / 2, (6 + N) / 2] (Anderson and Farrell, section 3).
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.count = int(rng.integers(2, 9))
        self.turns = rng.uniform(-np.pi, np.pi, (self.count, 2))
        self.flips = rng.choice([-1.0, 1.0], (self.count, 2))
        self.scales = self._singular_values(rng)  # (N, 2), descending
        self.shifts = rng.uniform(-1, 1, (self.count, 2))

    def _singular_values(self, rng: np.random.Generator) -> Array:
        target = rng.uniform(5 + self.count, 6 + self.count) / 2
        while True:
            first = rng.uniform(0.2, 1.0, self.count)
            second = first * rng.uniform(0.1, 1.0, self.count)
            values = np.stack([first, second], axis=1) * target / (first + 2 * second).sum()
            if values.max() < 0.97:
                return values

    def points(self, rng: np.random.Generator, perturbation: float = 0.0) -> Array:
        """Points of the attractor, float64 [P, 2], in no particular scale.

        `perturbation` is the relative size of random changes to the maps: above 0, another instance of the class.
        """
        scales = np.clip(self.scales * np.exp(perturbation * rng.normal(size=self.scales.shape)), 0.02, 0.98)
        shifts = self.shifts + perturbation * rng.normal(size=self.shifts.shape)
        turns = self.turns + perturbation * rng.normal(size=self.turns.shape)
        matrices = _rotation(turns[:, 0]) * (scales * self.flips)[:, None, :] @ _rotation(turns[:, 1])  # (N, 2, 2)
        weights = np.abs(np.linalg.det(matrices)) + 1e-3
        choices = rng.choice(self.count, size=(STEPS, POINTS), p=weights / weights.sum())
        orbits, drawn = np.zeros((POINTS, 2)), []  # the current point of each parallel orbit
        for step, choice in enumerate(choices):
            orbits = np.einsum("pij,pj->pi", matrices[choice], orbits) + shifts[choice]
            if step >= WARM_UP:
                drawn.append(orbits)
        return np.concatenate(drawn)  # (POINTS * (STEPS - WARM_UP), 2)


def _rotation(angle: Array) -> Array:
    return np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)


def render(points: Array, size: int) -> Array:
    """Draw a cloud of points as a density picture, fitted to the frame, on a logarithmic scale.

    Parameters
    ----------
    points : array, float [N, 2]
        The cloud, in any unit: 98 % of its extent fill nine tenths of the frame.
    size : int
        Side of the picture in pixels.

    Returns
    -------
    array, uint8 [size, size]
        0 where no point lies; 255 from the 95th percentile of the filled pixels on.
    """
    low, high = np.percentile(points, [1, 99], axis=0)
    span = max(float((high - low).max()), 1e-9)
    cells = ((points - (low + high) / 2) / span * 0.9 + 0.5) * size
    inside = ((cells >= 0) & (cells < size)).all(axis=1)
    column, row = cells[inside].astype(np.int64).T
    counts = np.bincount(row * size + column, minlength=size * size).reshape(size, size)
    bright = np.log1p(counts) / np.log1p(max(np.percentile(counts[counts > 0], 95), 1.0))
    return (np.clip(bright, 0, 1) * 255).astype(np.uint8)


def find_class(seed: int, number: int, size: int) -> IteratedFunctionSystem:
    """The iterated function system (IFS) of a class of fractals: the first draw that fills enough of the frame.

    Parameters
    ----------
    seed, number : int
        Of the bank of fractals, and of the class in it; together they fix the random stream.
    size : int
        Side in pixels of the picture in which the filled part is measured.

    Returns
    -------
    IteratedFunctionSystem
    """
    rng = np.random.default_rng([seed, number])
    while True:
        system = IteratedFunctionSystem(rng)
        if (render(system.points(rng), size) > 0).mean() >= FILLED:
            return system


def _draw_class(task: tuple[int, int, int, int]) -> Array:
    seed, number, instances, size = task
    system = find_class(seed, number, size)
    streams = (np.random.default_rng([seed, number, instance]) for instance in range(instances))
    return np.stack([render(system.points(rng, PERTURBATION), size) for rng in streams])


def fractal_bank(
    path: Path, classes: int, instances: int, size: int, seed: int, workers: int | None = None, progress: bool = True
) -> Array:
    """All pictures, uint8 [classes, instances, size, size], drawn once and kept in `path` (.npy), memory-mapped."""
    shape = (classes, instances, size, size)
    with suppress(OSError, ValueError, EOFError):  # absent, or no array: it is drawn
        bank = np.load(path, mmap_mode="r", allow_pickle=False)
        if bank.shape == shape and bank.dtype == np.uint8:
            return bank
    with replacing(path) as partial:
        target = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        tasks = [(seed, number, instances, size) for number in range(classes)]
        with ProcessPoolExecutor(workers) as pool:
            drawn = tqdm(
                pool.map(_draw_class, tasks, chunksize=4), total=classes, desc="fractal classes", disable=not progress
            )
            for number, pictures in enumerate(drawn):
                target[number] = pictures
        target.flush()
        del target  # some systems do not move a file that is still mapped
    return np.load(path, mmap_mode="r", allow_pickle=False)
