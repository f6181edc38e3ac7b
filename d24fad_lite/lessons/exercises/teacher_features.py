"""Exercises to lesson 02: how alike two maps of features are, and the nearest support at the same position."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def agreement(first, second):
    """Mean over images of the cosine of the flattened maps: [B, C, H, W] twice -> a number in -1..1."""
    a, b = first.flatten(1), second.flatten(1)
    return ((a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))).mean()


def same_place_distance(query_patches, support_patches):
    """Distance to the nearest support at the same position: unit vectors [B, P, C], [K, P, C] -> [B, P]."""
    cosines = torch.einsum("bpc,kpc->bkp", query_patches, support_patches)
    return (2 - 2 * cosines.amax(dim=1)).clamp(min=0).sqrt()


def _agreement_by_torch(first, second):
    return F.cosine_similarity(first.flatten(1), second.flatten(1)).mean()


def _distances_one_by_one(query_patches, support_patches):
    every = torch.stack([(query_patches - support).norm(dim=2) for support in support_patches])  # (K, B, P)
    return every.amin(dim=0)


def _maps():
    rng = torch.Generator().manual_seed(21)

    def maps(*shape):
        return torch.randn(*shape, generator=rng)

    first = maps(3, 4, 5, 6)
    return [
        Case("three images", (first, first + 0.5 * maps(3, 4, 5, 6))),
        Case("images of very different length", (first * torch.tensor([1.0, 50, 0.1])[:, None, None, None], first + 1)),
        Case("a batch of one", (maps(1, 8, 3, 3), maps(1, 8, 3, 3))),
        Case("opposite maps", (first, -3 * first)),
    ]


def _patches():
    rng = torch.Generator().manual_seed(22)

    def unit(*shape):
        return F.normalize(torch.randn(*shape, generator=rng), dim=-1)

    query = unit(3, 6, 8)
    return [
        Case("three queries, four supports", (query, unit(4, 6, 8))),
        Case("one support", (query, unit(1, 6, 8))),
        Case("a patch of the query at another position of a support", (query, query.roll(1, dims=1))),
        Case("one position", (unit(2, 1, 5), unit(3, 1, 5))),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="agreement of maps",
        solution=agreement,
        reference=_agreement_by_torch,
        cases=_maps,
        hints=(
            "A cosine is the dot product of two vectors divided by both lengths; here each image is one long vector.",
            "first.flatten(1) is [B, C·H·W]; products, sums and norms go along dim=1.",
            "The mean over images comes last, after the division.",
        ),
    ),
    Exercise(
        number=2,
        title="same place",
        solution=same_place_distance,
        reference=_distances_one_by_one,
        cases=_patches,
        rtol=1e-3,
        atol=2e-3,
        hints=(
            "The distance of two unit vectors is sqrt(2 - 2 cos): the nearest is the one of the highest cosine.",
            "torch.einsum('bpc,kpc->bkp', ...) gives all cosines of equal positions.",
            "The highest over k, amax(dim=1); and clamp(min=0) before the root, for rounding.",
        ),
    ),
)

ANSWERS = (
    "The stride says how many pixels one step on the level's grid is, the channels how many numbers describe a "
    "position. From level to level the stride doubles and the channels become more.",
    "In train mode batch norm takes its statistics from the batch at hand, so the features of an image change with the "
    "images beside it.",
    "By the three directions along which the vectors of all positions differ most (principal components), shown as "
    "red, green and blue.",
    "max over u of min over k and v of the distance between the query's vector at u and the support's at v. Over "
    "positions too, because anatomy does not lie at the same pixel in every image.",
    "At stride 4 a spot of 3 px is a cell of its own, so its place is known. But single edges of nuclei occur in "
    "healthy tissue as well; only larger regions look different.",
    "On telling fractals apart. One teacher is better where the paired interval of the difference, on the same images "
    "and supports, is clear of zero.",
)
