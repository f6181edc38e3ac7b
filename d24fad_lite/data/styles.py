"""More training tasks out of a few: a task's normal images under one fixed change of geometry, tone and palette.

Four training tasks show a student four kinds of image, and it learns these four by heart. A style makes another kind of
image of a task: turned, enlarged, bent, recoloured, all images of the task in the same way, so that the others still
show what is normal in one of them. Training on a hundred such tasks is not the published method; what it changes is
measured in `benchmarks/REGIMES.md`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.files import sha256_of

VERSION = 1  # of the styles; raised by any change of what they draw
IMAGES_PER_STYLE = 24  # enough for eight shots and a query many times over
BENDS = (0.0, 0.03, 0.06)  # strength of the warp, in halves of the side
STOPS = 4  # colours of a palette


@dataclass(frozen=True)
class Style:
    """One look, a pure function of `seed` (a sequence of whole numbers).

    Geometry: a turn (any angle, or quarter turns), an enlargement of 0.8 to 2.2, a mirror image, a shift, a smooth
    warp. Tone: gamma 0.55 to 1.8, negative. Colour: a palette of four stops over the luminance, or a mixture of the
    channels, or grey.
    """

    seed: tuple[int, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Images [N, 3, S, S] in 0..1 -> the same shape and range."""
        rng = np.random.default_rng([20, VERSION, *self.seed])
        moved = F.grid_sample(
            images,
            self._grid(rng, images.shape[-1]).expand(len(images), -1, -1, -1),
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        return self._colours(rng, moved.clamp(0, 1))

    @staticmethod
    def _grid(rng: np.random.Generator, side: int) -> Tensor:
        """From where each pixel takes its value, [1, S, S, 2] in -1..1."""
        angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else np.pi / 2 * rng.integers(4)
        zoom = np.exp(rng.uniform(np.log(0.8), np.log(2.2)))
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        shift = rng.uniform(-0.3, 0.3, 2) * max(0.0, 1.15 - 1 / zoom)
        c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
        matrix = torch.tensor([[[mirror * c, s, shift[0]], [-mirror * s, c, shift[1]]]], dtype=torch.float32)
        grid = F.affine_grid(matrix, [1, 3, side, side], align_corners=False)  # (1, S, S, 2)
        knots = torch.from_numpy(rng.standard_normal((1, 2, 6, 6)).astype(np.float32)) * float(rng.choice(BENDS))
        bend = F.interpolate(knots, size=(side, side), mode="bicubic", align_corners=True)
        return grid + bend.permute(0, 2, 3, 1)

    @staticmethod
    def _colours(rng: np.random.Generator, images: Tensor) -> Tensor:
        """Tone and colours of one style, [N, 3, S, S] in 0..1 -> the same shape and range."""
        negative, gamma = rng.random() < 0.35, float(np.exp(rng.uniform(-0.6, 0.6)))
        grey, palette = rng.random() < 0.3, rng.random() < 0.6
        stops = rng.uniform(0, 1, (STOPS, 3))
        stops = stops[np.argsort(stops.sum(axis=1))] if rng.random() < 0.7 else stops  # dark to bright, mostly
        mixture = 0.4 * np.eye(3) + 0.6 * rng.dirichlet([1, 1, 1], 3)
        toned = (1 - images if negative else images) ** gamma
        if palette:
            position = toned.mean(dim=1) * (STOPS - 1)  # (N, S, S), along the palette
            low = position.floor().clamp(max=STOPS - 2).long()
            colours = torch.tensor(stops, dtype=images.dtype)
            share = (position - low).unsqueeze(-1)
            toned = (colours[low] * (1 - share) + colours[low + 1] * share).permute(0, 3, 1, 2)  # (N, 3, S, S)
        else:
            toned = torch.einsum("dc,nchw->ndhw", torch.tensor(mixture, dtype=images.dtype), toned)
        return toned.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).contiguous() if grey else toned.contiguous()


class StyledImageSet(ImageSet):
    """Normal images of a task under one style; everything else is the task's own."""

    def __init__(self, source: ImageSet, style: Style, name: str) -> None:
        super().__init__(
            name, source.root, source.paths, source.labels, None, source.groups, source.kinds, decoded=source.decoded
        )
        self.style = style

    def images(self, size: int, indices: Any = None) -> Tensor:
        """Pixels as float32 [n, 3, S, S] in 0..1, styled."""
        return self.style(super().images(size, indices))

    def hashes(self, indices: Any = None) -> list[str]:
        """SHA-256 (hex) of each file's content together with the style."""
        words = f"style {VERSION} {self.style.seed}"
        return [sha256_of(f"{own} {words}") for own in super().hashes(indices)]

    def subset(self, indices: Any, name: str | None = None) -> ImageSet:
        """Some of the images, in the same style."""
        return StyledImageSet(super().subset(indices, name), self.style, name or self.name)


def styled_tasks(
    tasks: Mapping[str, Task], count: int, seed: int = 0, images: int = IMAGES_PER_STYLE
) -> dict[str, Task]:
    """The given tasks and `count` more: normal training images of each task in turn, in a style of their own.

    Parameters
    ----------
    tasks : mapping of name to Task
        Training tasks, `bench.without(NAME)`: the task that is held out must not be among them.
    count : int
        Number of styled tasks, at least 0.
    seed : int, default 0
        Determines the styles, and which images each of them takes.
    images : int, default 24
        Normal images of each styled task, at least 2; at most those that the task has are used.

    Returns
    -------
    dict of name to Task
        The tasks as they are, then "RSNA, style 1" and so on. A styled task differs from its own in `train` alone; its
        test images are not styled, so it is meant for `fit` and not for `evaluate`.

    Raises
    ------
    ValueError : no tasks, or a count or number of images out of range.
    """
    if not tasks:
        raise ValueError("styled_tasks() got no tasks; give at least one, for example bench.without('RSNA')")
    if count < 0 or images < 2:
        raise ValueError(f"styled_tasks() needs count >= 0 and images >= 2, got count={count}, images={images}")
    names, styled = list(tasks), dict(tasks)
    for number in range(count):
        source = tasks[names[number % len(names)]]
        chosen = np.random.default_rng([21, seed, number]).permutation(len(source.train))[:images]
        task = copy.copy(source)
        task.name = f"{source.name}, style {number // len(names) + 1}"
        part = source.train.subset(np.sort(chosen), f"{task.name}/train")
        task.train = StyledImageSet(part, Style((seed, number)), part.name)
        styled[task.name] = task
    return styled
