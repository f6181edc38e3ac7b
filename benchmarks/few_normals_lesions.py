"""Synthetic lesions of all scales, diffuse ones first, for what is trained on other tasks' normal images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.model.anomaly_map import gaussian_blur

SEEN = 0.03  # a pixel belongs to a lesion where its mean over the channels changed by more


def _random(rng: np.random.Generator, images: Tensor, low: float, high: float) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, len(images))).float().view(-1, 1, 1, 1)


def _spots(rng: np.random.Generator, images: Tensor, low: float, high: float) -> Tensor:
    """Soft spots [N, 1, S, S] of random place; their radius is a share of the side between `low` and `high`."""
    side = images.shape[-1]
    axis = torch.arange(side) / side
    x, y = (_random(rng, images, 0.25, 0.75)[:, 0] for _ in range(2))  # (N, 1, 1)
    squared = (axis.view(1, 1, -1) - x) ** 2 + (axis.view(1, -1, 1) - y) ** 2
    return torch.exp(-squared / (2 * _random(rng, images, low, high)[:, 0] ** 2)).unsqueeze(1)


def haze(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A bright veil over a large part of the image."""
    veil = _spots(rng, images, 0.2, 0.4) * _random(rng, images, 0.15, 0.4)
    return images * (1 - veil) + 0.9 * veil


def blurred(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The whole image out of focus."""
    sigmas = rng.uniform(1.0, 2.5, len(images))
    return torch.stack([gaussian_blur(image, float(sigma)) for image, sigma in zip(images, sigmas, strict=True)])


def contrast(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Less contrast everywhere."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + (images - mean) * _random(rng, images, 0.5, 0.8)


def cast(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness or colour changed as a whole."""
    return (images * torch.from_numpy(rng.uniform(0.75, 1.25, (len(images), 3, 1, 1))).float()).clamp(0, 1)


def mottled(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A coarse texture over a large part of the image."""
    noise = torch.from_numpy(rng.normal(0, 1, (len(images), 1, 32, 32))).float()
    noise = F.interpolate(noise, size=images.shape[2:], mode="bilinear", align_corners=False)
    return (images + 0.12 * noise * _spots(rng, images, 0.2, 0.4)).clamp(0, 1)


def spot(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A small bright or dark lesion."""
    sign = torch.from_numpy(rng.choice([-1.0, 1.0], len(images))).float().view(-1, 1, 1, 1)
    return (images + sign * _random(rng, images, 0.2, 0.5) * _spots(rng, images, 0.03, 0.08)).clamp(0, 1)


def pasted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A piece of another image of the task."""
    patch = _spots(rng, images, 0.08, 0.2)
    return images * (1 - patch) + images.roll(1, dims=0).flip(2) * patch


def bulged(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A region swollen or shrunk: what is there keeps its texture and changes its size."""
    side, (x, y) = images.shape[-1], (_random(rng, images, -0.4, 0.4)[:, 0] for _ in range(2))  # (N, 1, 1)
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    across, down = axis.view(1, 1, -1).expand(1, side, side) - x, axis.view(1, -1, 1).expand(1, side, side) - y
    near = torch.exp(-(across**2 + down**2) / (2 * _random(rng, images, 0.1, 0.25)[:, 0] ** 2))
    sign = torch.from_numpy(rng.choice([-0.8, 0.5], len(images))).float().view(-1, 1, 1)
    scale = 1 - sign * near  # below 1 shows what lies nearer to the middle, enlarged
    places = torch.stack([x + across * scale, y + down * scale], dim=-1)
    return F.grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=False)


def changed(images: Tensor, lesioned: Tensor) -> Tensor:
    """Where a lesion changed the images [N, 3, S, S]: bool [N, S, S]."""
    return (images - lesioned).abs().mean(dim=1) > SEEN


Lesion = Callable[[Tensor, np.random.Generator], Tensor]
LESIONS: tuple[Lesion, ...] = (
    *(haze, blurred, contrast, cast, mottled),  # diffuse
    *(spot, pasted),  # local
)
ALL_LESIONS: tuple[Lesion, ...] = (*LESIONS, bulged)
