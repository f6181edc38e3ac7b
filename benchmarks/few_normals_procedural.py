"""Hundreds of procedural tasks to train on: the sample world's painters and fractals, each task in a style of its own.

A task is what a benchmark's task is, several normal pictures of one kind. One half shows patients of one painter, the
other instances of one fractal on a ground of noise. A style (colours, gamma, turn, section, sharpness) is drawn per
task and shared by its pictures; half of the fractals are made symmetric.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from scipy import ndimage

from d24fad_lite.data.samples.canvas import Canvas
from d24fad_lite.data.samples.world import TASKS, draw_sample
from d24fad_lite.training.pretrain.fractals import PERTURBATION, find_class, render

Array = np.ndarray
PATIENTS = 40  # of each painter and seed
FIRST_PATIENT = 2**33  # out of reach of a benchmark's seeds
FRACTAL = "fractal"


def procedural_tasks(
    seed: int, count: int, images: int, side: int, patients: int = PATIENTS
) -> Iterator[tuple[str, Array]]:
    """Yield `count` tasks: the painter's name or "fractal", and pictures float32 [images, 3, side, side] in 0..1."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        every = [(name, seed, number, side) for name in TASKS for number in range(patients)]
        drawn = np.stack(list(pool.map(_patient, every, chunksize=4))).reshape(len(TASKS), patients, side, side, 3)
        names, pictures = [], []
        for number in range(count):
            kind = number // 2 % len(TASKS)
            some = np.random.default_rng([seed, 6, number]).permutation(patients)[:images]
            names.append(FRACTAL if number % 2 else list(TASKS)[kind])
            pictures.append(None if number % 2 else drawn[kind][some])
        yield from zip(names, pool.map(partial(_task, seed, images, side), range(count), pictures), strict=True)


def _task(seed: int, images: int, side: int, number: int, painted: Array | None) -> Array:
    """Pictures of one task [images, 3, S, S] in a style of its own; without painted ones, of a fractal."""
    pictures = _fractals(seed, images, side, number) if painted is None else painted
    rng = np.random.default_rng([seed, 7, number])
    return _styled(pictures.astype(np.float32) / 255, rng).transpose(0, 3, 1, 2)


def _patient(which: tuple[str, int, int, int]) -> Array:
    name, seed, number, side = which
    return draw_sample(name, (FIRST_PATIENT + seed, number), size=side).image


def _fractals(seed: int, images: int, side: int, number: int) -> Array:
    """Instances of one fractal, uint8 [images, side, side, 3], grey."""
    system, drawn = find_class(FIRST_PATIENT + seed, number, side), []
    task = np.random.default_rng([seed, 8, number])
    canvas, cells, ground = Canvas(side), int(task.integers(2, 12)), task.uniform(0, 0.3)
    symmetric = task.random() < 0.5
    for instance in range(images):
        rng = np.random.default_rng([seed, 9, number, instance])
        shape = render(system.points(rng, PERTURBATION), side) / 255
        shape = np.maximum(shape, shape[:, ::-1]) if symmetric else shape
        noise = ground * (1 + 0.4 * canvas.texture(rng, cells))
        grey = np.clip(np.where(shape > 0, 0.25 + 0.75 * shape, noise), 0, 1)
        drawn.append(np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2))
    return np.stack(drawn)


def _styled(pictures: Array, rng: np.random.Generator) -> Array:
    """Pictures [N, S, S, 3] in 0..1 in one random style; brightness and place differ a little from one to the next."""
    side, part = pictures.shape[1], rng.uniform(0.6, 1.0)
    low = (rng.uniform(0, 1 - part, 2) * side).astype(int)
    steps = np.arange(side) * part
    wander = rng.normal(0, 0.015 * side, (len(pictures), 2))
    gains = np.exp(rng.normal(0, 0.05, len(pictures)))
    gamma, blur = np.exp(rng.uniform(-0.5, 0.5)), rng.uniform(0, 1.0)
    turns, flip, invert, tinted = rng.integers(4), rng.random() < 0.5, rng.random() < 0.3, rng.random() < 0.5
    stops, order = rng.uniform(0, 1, (3, 3)), rng.permutation(3)
    styled = []
    for picture, (down, right), gain in zip(pictures, wander, gains, strict=True):
        rows, columns = (np.clip(first + move + steps, 0, side - 1) for first, move in zip(low, (down, right)))
        grid = np.meshgrid(rows, columns, indexing="ij")
        cut = np.stack([ndimage.map_coordinates(picture[..., i], grid, order=1) for i in range(3)], axis=-1)
        cut = ndimage.gaussian_filter(cut, (blur, blur, 0)) ** gamma
        cut = 1 - cut if invert else cut
        if tinted:  # grey values on a line through three colours
            grey = cut.mean(axis=2)
            cut = np.stack([np.interp(grey, (0, 0.5, 1), stops[:, i]) for i in range(3)], axis=-1)
        cut = np.rot90(cut[..., order] * gain, turns)
        styled.append(np.clip(cut[:, ::-1] if flip else cut, 0, 1))
    return np.stack(styled).astype(np.float32)
