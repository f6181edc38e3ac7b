"""From fractal densities to training images: another pose, other colours, other tissue, another camera, each time."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def draw_views(
    densities: Tensor,
    size: int,
    generator: Generator,
    hardness: float = 1.0,
    texture: float = 1.0,
    camera: float = 1.0,
    grey: float = 0.15,
) -> Tensor:
    """Colour images of fractals, each in another pose, other colours and seen by another camera.

    Parameters
    ----------
    densities : Tensor, float [B, 1, S, S] in 0..1
        The fractals.
    size : int
        Side of the images in pixels.
    generator : torch.Generator
        The only source of chance.
    hardness : float in 0..1, default 1.0
        0: random colours of fractal and background are all that changes. Above, in proportion: the pose changes
        (rotation up to 60 degrees, mirror, scale 0.7 to 1.4, shift up to a fifth); both colours vary smoothly within
        the image, so that a flat colour does not give the fractal away; and the camera blurs, changes contrast and
        adds noise.
    texture, camera : float in 0..1, default 1.0
        Further factors on the smooth variation and on the camera: a network that learns to ignore colour and
        brightness altogether forgets them.
    grey : float in 0..1, default 0.15
        Share of images without colour, as X-rays and MRI are.

    Returns
    -------
    Tensor, float [B, 3, size, size] in 0..1
    """
    shapes = _pose(densities, size, generator, hardness)  # (B, 1, S, S)
    fore, back = _colours(len(shapes), generator)  # (B, 3, 1, 1) each
    fore = fore + 0.5 * hardness * texture * _clouds(len(shapes), size, generator)
    back = back + 0.5 * hardness * texture * _clouds(len(shapes), size, generator)
    images = back + (fore - back) * shapes  # (B, 3, S, S)
    colourless = _uniform((len(images), 1, 1, 1), generator) < grey
    images = torch.where(colourless, images.mean(dim=1, keepdim=True), images)
    return _camera(images, generator, hardness * camera)


def _uniform(shape: tuple[int, ...], generator: Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _pose(densities: Tensor, size: int, generator: Generator, hardness: float) -> Tensor:
    n = len(densities)
    angle = hardness * _uniform((n,), generator, -math.pi / 3, math.pi / 3)
    zoom = torch.exp(hardness * _uniform((n,), generator, math.log(1 / 1.4), math.log(1 / 0.7)))
    mirror = torch.where(_uniform((n,), generator) < 0.5 * hardness, -1.0, 1.0)
    shift = hardness * _uniform((n, 2), generator, -0.2, 0.2)
    rows = [
        torch.stack([zoom * angle.cos() * mirror, -zoom * angle.sin(), shift[:, 0]], dim=1),
        torch.stack([zoom * angle.sin() * mirror, zoom * angle.cos(), shift[:, 1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), [n, 1, size, size], align_corners=False)
    return F.grid_sample(densities, grid, align_corners=False)


def _colours(n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Fore- and background colours that differ by at least 0.25 in brightness."""
    back, fore = _uniform((n, 3, 1, 1), generator), _uniform((n, 3, 1, 1), generator)
    gap = (fore - back).mean(dim=1, keepdim=True)
    push = torch.where(gap >= 0, 1.0, -1.0) * (0.25 - gap.abs()).clamp(min=0)
    return fore + push, back


def _clouds(n: int, size: int, generator: Generator) -> Tensor:
    """Smooth random fields [n, 3, size, size] of a random strength and of three grain sizes, mean about 0."""
    field = torch.zeros(n, 3, size, size)
    for cells in (3, 8, 24):
        noise = torch.randn((n, 3, cells, cells), generator=generator) + torch.randn(
            (n, 1, cells, cells), generator=generator
        )
        strength = _uniform((n, 1, 1, 1), generator, 0.0, 0.12)
        field = field + strength * F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)
    return field


def _camera(images: Tensor, generator: Generator, hardness: float) -> Tensor:
    n = len(images)
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = images + (soft - images) * hardness * _uniform((n, 1, 1, 1), generator)  # blur
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = 1 + hardness * _uniform((n, 1, 1, 1), generator, -0.5, 0.3)
    sigma = hardness * _uniform((n, 1, 1, 1), generator, 0.0, 0.04)
    images = (images - mean) * contrast + mean + sigma * torch.randn(images.shape, generator=generator)
    return images.clamp(0, 1)
