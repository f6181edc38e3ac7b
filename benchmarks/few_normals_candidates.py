"""Candidates of `few_normals.py` that need no training: each a small function of a `View`.

A candidate gives image scores [B] and, where it has one, a map [B, P] on the patches' grid. Nothing in it knows a label
or another test image. Constants were written down before they were first run, with these exceptions: the rows with the
top tenth of another candidate's map, and the summed levels, came after a first table of world 301; `mirrored-patch` and
its parts came last, after some 60 variants of shares, supports turned or scaled, and uses of the own mirror image had
been compared on the development sets. It has been frozen since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from few_normals_view import View
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.evaluation.baselines.mirrored_patch import scores_and_maps
from d24fad_lite.model.anomaly_map import image_score

Scored = tuple[Tensor, Tensor | None]
Candidate = Callable[[View], Scored]
TOP = 0.1  # share of the patches that "top tenth" averages
ALIGNED = 1.1  # a window is used where it makes support-to-support distances at most so many times as large


def scored(distances: Tensor, kind: str) -> Tensor:
    """Image scores [B] of patch distances [B, P] by the kit's "max", "mean" or "top"."""
    return image_score(distances.unsqueeze(1), kind, TOP)


def nearest(kind: str, score: str) -> Candidate:
    """Distance to the nearest patch of any support, as the kind of distance says."""

    def candidate(view: View) -> Scored:
        distances = view.near(kind).amin(dim=1)
        return scored(distances, score), distances

    return candidate


def adaptive_window(view: View) -> Scored:
    """A window where the supports are aligned with each other, the whole image elsewhere; no label is needed."""
    return nearest("window" if aligned(view) else "anywhere", "mean")(view)


def aligned(view: View) -> bool:
    """Whether supports find each other's patches within the window about as well as anywhere."""
    within, anywhere = (
        torch.stack([one.near(kind).amin(dim=1).mean() for one in view.left_out()]).mean()
        for kind in ("window", "anywhere")
    )
    return bool(within <= ALIGNED * anywhere)


def two_nearest(view: View) -> Scored:
    """Mean distance to the two supports that fit best at each patch: one odd support cannot explain a lesion away."""
    distances = view.near().topk(min(2, len(view.supports)), dim=1, largest=False).values.mean(dim=1)
    return distances.mean(dim=1), distances


def per_level(view: View) -> Scored:
    """Nearest patch in each level by itself, the finest too; the means are added."""
    means = [view.near(f"level {i}").amin(dim=1).mean(dim=1) for i in range(len(view.task.levels))]
    return torch.stack(means).sum(dim=0), None


def summed_levels(view: View) -> Scored:
    """1 - cosine to the nearest patch in each level by itself, the finest too, summed on the finest grid; top tenth.

    As the kit's reading `matched`, without its enlargement to the image and its blur, and with 3 x 3 means as patches.
    """
    shapes = [level.shape[2:] for level in view.task.levels]
    total: Tensor | None = None
    for i, shape in enumerate(shapes):
        level = view.near(f"level {i}").amin(dim=1).square() / 2
        fine = F.interpolate(level.unflatten(1, shape).unsqueeze(1), shapes[0], mode="bilinear", align_corners=False)
        total = fine if total is None else total + fine
    assert total is not None
    used = F.adaptive_avg_pool2d(total, view.task.grid.shape[2:]).flatten(1)
    return scored(total.flatten(1), "top"), used


def with_top(candidate: Candidate) -> Candidate:
    """The map of a candidate, scored by its highest tenth."""

    def with_its_map(view: View) -> Scored:
        distances = candidate(view)[1]
        assert distances is not None
        return scored(distances, "top"), distances

    return with_its_map


def of_vectors(name: str) -> Candidate:
    """Distance of one vector per image to the nearest support's."""

    def candidate(view: View) -> Scored:
        vectors = getattr(view.task, name)
        return torch.cdist(vectors[view.queries], vectors[view.supports]).amin(dim=1), None

    return candidate


def both_ways(view: View) -> Scored:
    """Also from the supports' patches to the query: what is missing from the query counts."""
    distances = view.near().amin(dim=1)
    return distances.mean(dim=1) + view.backwards().amin(dim=1), distances


def reconstruction(ridge: float) -> Candidate:
    """Residual of the query's patches after ridge regression on all patches of the supports, in closed form.

    q - X'(XX' + r I)^-1 X q  =  r (X'X + r I)^-1 q, r relative to the mean eigenvalue of X'X.
    """

    def candidate(view: View) -> Scored:
        queries, supports = view.vectors()
        x = supports.flatten(0, 1)
        gram = x.T @ x
        amount = ridge * gram.trace() / len(gram)
        residual = amount * torch.linalg.solve(gram + amount * torch.eye(len(gram)), queries.flatten(0, 1).T)
        distances = residual.norm(dim=0).view(queries.shape[:2])
        return distances.mean(dim=1), distances

    return candidate


def subspace(view: View) -> Scored:
    """Residual outside the first principal directions that hold up to 95 % of the energy of the supports' patches."""
    queries, supports = view.vectors()
    x = supports.flatten(0, 1)
    mean = x.mean(dim=0)
    values, directions = torch.linalg.eigh((x - mean).T @ (x - mean))
    kept = directions[:, values.flip(0).cumsum(0).flip(0) <= 0.95 * values.sum()]
    centred = queries - mean
    distances = (centred.square().sum(dim=2) - (centred @ kept).square().sum(dim=2)).clamp_min(0).sqrt()
    return distances.mean(dim=1), distances


def gaussian(view: View) -> Scored:
    """Mahalanobis distance to the mean at each position, with one covariance for all positions (after PaDiM)."""
    queries, supports = view.vectors()
    mean = supports.mean(dim=0)
    spread = (supports - mean).flatten(0, 1)
    covariance = spread.T @ spread / len(spread)
    covariance += 0.1 * covariance.trace() / len(covariance) * torch.eye(len(covariance))
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), (queries - mean).flatten(0, 1).T, upper=False
    )
    distances = white.norm(dim=0).view(queries.shape[:2])
    return distances.mean(dim=1), distances


def own_scale(view: View) -> Scored:
    """Each position's distance less what the supports show there among each other."""
    usual = torch.cat([one.near().amin(dim=1) for one in view.left_out()]).mean(dim=0)
    distances = view.near().amin(dim=1) - usual
    return distances.mean(dim=1), distances


def combined(*parts: Candidate) -> Candidate:
    """Mean of several scores, each divided by its mean over the supports, one left out at a time; map of the first."""

    def candidate(view: View) -> Scored:
        scores = []
        for part in parts:
            usual = torch.cat([part(one)[0] for one in view.left_out()]).mean()
            scores.append(part(view)[0] / usual)
        return torch.stack(scores).mean(dim=0), parts[0](view)[1]

    return candidate


def mirrored_patch(own: str = "where symmetric", sharp: bool = True, parts: str = "mean top") -> Candidate:
    """The kit's `mirrored-patch` and what it is without a part of it.

    own : "where symmetric", "never" or "always", use of the query's own mirror image
    sharp : whether the map also holds each level by itself
    parts : "mean top", "mean" or "top", of the image score
    """

    def candidate(view: View) -> Scored:
        near, itself, symmetric = view.mirrored_patches()
        use = symmetric if own == "where symmetric" else own == "always"
        if not sharp:
            near, itself = (replace(distances, levels=[distances.patches]) for distances in (near, itself))
        grids = view.task.grids if sharp else view.task.grids[:1]
        scores, maps = scores_and_maps(near, itself if use else None, grids, TOP)
        by_parts = {
            "mean top": scores,
            "mean": near.patches.mean(dim=1),
            "top": scores - near.patches.mean(dim=1),
        }
        return by_parts[parts], maps.flatten(1)

    return candidate


POOLED, TEXTURE = of_vectors("pooled"), of_vectors("texture")
FROZEN = "mirrored-patch (the kit's)"
CANDIDATES: dict[str, Candidate] = {
    FROZEN: mirrored_patch(),
    "mirrored-patch, own mirror image never": mirrored_patch(own="never"),
    "mirrored-patch, own mirror image always": mirrored_patch(own="always"),
    "mirrored-patch, map of patches alone": mirrored_patch(sharp=False),
    "mirrored-patch, mean alone": mirrored_patch(parts="mean"),
    "mirrored-patch, top tenth alone": mirrored_patch(parts="top"),
    "nearest patch, max": nearest("anywhere", "max"),
    "nearest patch, mean": nearest("anywhere", "mean"),
    "nearest patch, top tenth": nearest("anywhere", "top"),
    "window, mean": nearest("window", "mean"),
    "window, top tenth": nearest("window", "top"),
    "adaptive window, mean": adaptive_window,
    "mirrored supports too, mean": nearest("mirrored", "mean"),
    "mirrored supports too, top tenth": nearest("mirrored", "top"),
    "two nearest supports, mean": two_nearest,
    "levels summed, top tenth (near `matched`)": summed_levels,
    "each level by itself, mean": per_level,
    "pooled feature": POOLED,
    "texture (spread of channels)": TEXTURE,
    "both ways, mean": both_ways,
    "reconstruction, ridge 1": reconstruction(1.0),
    "reconstruction, ridge 0.1": reconstruction(0.1),
    "reconstruction, ridge 0.1, top tenth": with_top(reconstruction(0.1)),
    "subspace of 95 %, mean": subspace,
    "subspace of 95 %, top tenth": with_top(subspace),
    "gaussian at each position, mean": gaussian,
    "gaussian at each position, top tenth": with_top(gaussian),
    "less the supports' own distances, mean": own_scale,
    "combined: patch mean, pooled": combined(nearest("anywhere", "mean"), POOLED),
    "combined: patch mean, pooled, window": combined(nearest("anywhere", "mean"), POOLED, nearest("window", "mean")),
    "combined: patch mean, pooled, texture": combined(nearest("anywhere", "mean"), POOLED, TEXTURE),
    "combined: patch mean, patch top, pooled": combined(
        nearest("anywhere", "mean"), nearest("anywhere", "top"), POOLED
    ),
}
BARS = ("nearest patch, max", "nearest patch, mean")
