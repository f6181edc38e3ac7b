"""Exercises to lesson 13: how nearly symmetric some supports are, and how much of an image its own mirror explains."""

from __future__ import annotations

import numpy as np
import torch

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def asymmetry(own, among):
    """Distance of K supports to their own mirror images, over that to the other supports: [K], [K, K, P] -> number."""
    itself = torch.eye(len(own), dtype=torch.bool).unsqueeze(2)
    others = among.masked_fill(itself, torch.inf).amin(dim=1)  # (K, P)
    return float(own.mean() / others.mean())


def explained_by_mirror(to_supports, own):
    """Share of each image's patches that are nearer to its own mirror image than to any support: [N, K, P], [N, P]."""
    return (own < to_supports.amin(dim=1)).float().mean(dim=1)


def _asymmetry_by_loops(own, among):
    """Support by support, patch by patch."""
    count, _, patches = among.shape
    nearest = [min(float(among[i, k, p]) for k in range(count) if k != i) for i in range(count) for p in range(patches)]
    return float(np.mean(own.numpy()) / np.mean(nearest))


def _explained_by_counting(to_supports, own):
    """A patch counts where its own mirror image is nearer than every support."""
    nearer = own.unsqueeze(1) < to_supports  # (N, K, P)
    return nearer.all(dim=1).sum(dim=1) / own.shape[1]


def _supports():
    generator = torch.Generator().manual_seed(131)

    def case(name, count, patches, scale):
        among = torch.rand(count, count, patches, generator=generator) + 0.2
        among[torch.arange(count), torch.arange(count)] = 0.0  # a support compared with itself
        return Case(name, (scale * torch.rand(count, generator=generator) + 0.1, among))

    return [
        case("four supports", 4, 16, 1.0),
        case("two supports", 2, 9, 1.0),
        case("nearly symmetric supports", 4, 16, 0.05),
        case("one patch", 3, 1, 2.0),
    ]


def _images():
    generator = torch.Generator().manual_seed(132)

    def case(name, images, shots, shift):
        to_supports = torch.rand(images, shots, 25, generator=generator)
        return Case(name, (to_supports, torch.rand(images, 25, generator=generator) + shift))

    tie = torch.full((1, 2, 4), 0.5)
    return [
        case("six images, four supports", 6, 4, 0.0),
        case("one support", 3, 1, 0.0),
        case("the mirror image explains nothing", 2, 3, 2.0),
        case("the mirror image explains all", 2, 3, -2.0),
        Case("ties do not count", (tie, torch.full((1, 4), 0.5))),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="asymmetry",
        solution=asymmetry,
        reference=_asymmetry_by_loops,
        cases=_supports,
        hints=(
            "A support must not be compared with itself: there its distance is zero. Each patch may take the nearest "
            "of all other supports.",
            "Put infinity where both supports are the same one, and take the minimum over the second axis.",
            "among.masked_fill(torch.eye(K, dtype=torch.bool).unsqueeze(2), torch.inf).amin(dim=1) is [K, P]; divide "
            "the mean of `own` by its mean.",
        ),
    ),
    Exercise(
        number=2,
        title="explained by the mirror",
        solution=explained_by_mirror,
        reference=_explained_by_counting,
        cases=_images,
        hints=(
            "First the distance of each patch to the nearest of all supports.",
            "to_supports.amin(dim=1) is [N, P]. Where is `own` smaller?",
            "The mean of (own < nearest).float() over the patches.",
        ),
    ),
)

ANSWERS = (
    "Into its own two parts: the mean distance of all patches to the supports and their mirror images, and the mean of "
    "the highest tenth of the map. The first answers to changes of the whole image, the second to small lesions.",
    "From the supports alone: are they, patch by patch, nearer to their own mirror images than to each other, and "
    "clearly nearer at the same place than half an image away? No label and no test image has a part in it.",
    "Where organs lie on one side, the mirror image holds another organ at the same place. It explains nothing there, "
    "and where it happens to explain something, that may be a lesion.",
    "A constant moves all scores of a draw alike, so no pair of images changes its order, and the AUROC counts pairs.",
    "The samples had no part in its choice. Whoever changes the method after this table and measures it here "
    "again has chosen on a test set (lesson 11).",
)
