"""Exercises to lesson 06: a score between maximum and mean, and enlarging without aligned corners."""

from __future__ import annotations

import torch

from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def top_share_score(maps, share):
    """Mean of the highest share of each map's pixels: [N, S, S] -> [N]."""
    flat = maps.flatten(1)  # (N, S * S)
    count = max(1, round(share * flat.shape[1]))
    return flat.topk(count, dim=1).values.mean(dim=1)


def unaligned_upsampling(grid, size):
    """Bilinear enlarging with cells that keep their places: [S, H]."""
    x = (torch.arange(size, dtype=torch.float64) + 0.5) * grid / size - 0.5
    x = x.clamp(0, grid - 1)  # beyond the outermost middle there is nothing to take a share of
    return (1 - (x[:, None] - torch.arange(grid)).abs()).clamp(min=0).float()


def _top_share_by_sorting(maps, share):
    """Map by map, in double precision."""
    count = max(1, round(share * maps[0].numel()))
    ordered = [torch.sort(values.double().ravel()).values for values in maps]
    return torch.stack([values[-count:].sum() / count for values in ordered])


def _by_interpolation(grid, size):
    """PyTorch's own interpolation of each cell alone."""
    cells = torch.eye(grid)[:, None]  # (H, 1, H)
    enlarged = torch.nn.functional.interpolate(cells, size=size, mode="linear", align_corners=False)
    return enlarged[:, 0].T  # (S, H)


def _top_share_cases():
    rng = torch.Generator().manual_seed(61)

    def maps(*shape):
        return torch.rand(*shape, generator=rng)

    flat = torch.zeros(2, 6, 6)
    flat[1, 2:4, 2:4] = 1.0
    return [
        Case("five maps, a tenth", (maps(5, 16, 16), 0.1)),
        Case("one map, a quarter", (maps(1, 8, 8), 0.25)),
        Case("a share below one pixel", (maps(3, 8, 8), 0.001)),
        Case("all pixels", (maps(3, 8, 8), 1.0)),
        Case("values below zero", (maps(3, 8, 8) - 2.0, 0.3)),
        Case("many equal pixels", (flat, 0.2)),
    ]


def _upsampling_cases():
    return [
        Case("8 cells, 32 pixels", (8, 32)),
        Case("5 cells, 12 pixels", (5, 12)),
        Case("as many pixels as cells", (6, 6)),
        Case("two cells", (2, 16)),
        Case("one cell", (1, 4)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="top share score",
        solution=top_share_score,
        reference=_top_share_by_sorting,
        cases=_top_share_cases,
        hints=(
            "The place of a pixel does not matter any more. What form of the maps makes that plain?",
            "torch.topk works along one axis: flatten the other two first.",
            "The count is max(1, round(share * number of pixels)); topk(count, dim=1).values has shape [N, count].",
        ),
    ),
    Exercise(
        number=2,
        title="unaligned upsampling",
        solution=unaligned_upsampling,
        reference=_by_interpolation,
        cases=_upsampling_cases,
        hints=(
            "Only the places x change; the hat functions are those of the lesson.",
            "Near the edges the rows do not add to 1 yet: there x lies outside of 0 .. H - 1.",
            "clamp x to 0 .. H - 1 before the hat functions are taken.",
        ),
    ),
)

ANSWERS = (
    "They put them on the first and last pixel, so the outermost cells sit half a cell away from the middle of what "
    "they saw.",
    "On about seventy pixels, less than one in a hundred. Every step before the maximum is linear: enlarge "
    "and blur each level by itself and read its value at the peak; the values add up to the score.",
    "The columns of the blurring matrix add to one: what a pixel loses, its neighbours gain, and the sum of a map "
    "stays.",
    "TSD compares the teacher's features of the query with the student's. On this task its residuals are much larger "
    "than those of SSD, so they decide the sum.",
    "It is the best of many on the very images that it is judged on. The setting has to be chosen on other data.",
)
