"""Exercises to lesson 04: SSD with the distances fused, and a collapse that the mean distance does not show."""

from __future__ import annotations

import torch

from d24fad_lite.lessons.exercises.exercise import Case, Exercise
from d24fad_lite.model.losses import level_distance, support_distance


def ssd_of_distances(query_map, support_map, w):
    """SSD of one level, distances fused: [B, C, H, W], [K, C, H, W], [B, K] -> a number."""
    q = torch.nn.functional.normalize(query_map.flatten(1), dim=1)  # (B, N)
    s = torch.nn.functional.normalize(support_map.flatten(1), dim=1)  # (K, N)
    distances = 1 - q @ s.T  # (B, K)
    return (w * distances).sum(dim=1).mean()


def nearest_other(level_map):
    """Distance 1 - cos of each image to the most similar other one: [N, C, H, W] -> [N]."""
    unit = torch.nn.functional.normalize(level_map.flatten(1), dim=1)  # (N, C H W)
    distances = 1 - unit @ unit.T  # (N, N)
    distances.fill_diagonal_(float("inf"))  # no image is its own neighbour
    return distances.min(dim=1).values  # (N,)


def _ssd_by_package(query_map, support_map, w):
    return support_distance(query_map, support_map, w, None, "flattened", "distances").mean()


def _nearest_by_pairs(level_map):
    """Pair by pair, in double precision."""
    maps = level_map.double()
    rows = range(len(maps))
    return torch.tensor(
        [min(float(level_distance(maps[i : i + 1], maps[j : j + 1])) for j in rows if j != i) for i in rows]
    )


def _ssd_cases():
    rng = torch.Generator().manual_seed(41)

    def case(name, queries, supports, shape, lengths=1.0):
        query_map = torch.randn(queries, *shape, generator=rng)
        support_map = lengths * (torch.randn(supports, *shape, generator=rng) + 0.5)
        weights = torch.randn(queries, supports, generator=rng).softmax(dim=1)
        return Case(name, (query_map, support_map, weights))

    very_different = torch.tensor([0.01, 1.0, 50.0])[:, None, None, None]
    return [
        case("four queries, three supports", 4, 3, (8, 4, 4)),
        case("supports of very different length", 4, 3, (8, 4, 4), very_different),
        case("a batch of one", 1, 4, (8, 4, 4)),
        case("one support", 5, 1, (8, 4, 4)),
        case("as many supports as queries, height unlike width", 2, 2, (3, 5, 2)),
    ]


def _nearest_other_cases():
    rng = torch.Generator().manual_seed(42)

    def maps(*shape):
        return torch.randn(*shape, generator=rng)

    templates, three = maps(2, 6, 4, 4), maps(3, 6, 4, 4)
    return [
        Case("seven images", (maps(7, 6, 4, 4) + 0.5,)),
        Case("two images, height unlike width", (maps(2, 3, 5, 2),)),
        Case("a student that knows two drawings only", (templates[[0, 1, 0, 1, 1]],)),
        Case("one image twice, once twice as long, and two others", (torch.cat([three, 2 * three[:1]]),)),
        Case("images that point away from each other", (torch.cat([three[:1], -three[:1]]),)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="SSD of distances",
        solution=ssd_of_distances,
        reference=_ssd_by_package,
        cases=_ssd_cases,
        hints=(
            "Nothing is fused here. You need B times K distances first, and use the weights only after that.",
            "Normalise the flattened maps to unit vectors; then one matrix product gives all cosines, [B, K].",
            "Weigh the distances with w, sum over the supports, and take the mean over the batch.",
        ),
    ),
    Exercise(
        number=2,
        title="nearest other image",
        solution=nearest_other,
        reference=_nearest_by_pairs,
        cases=_nearest_other_cases,
        hints=(
            "Begin with the distances of all pairs, [N, N], as the figure's function does.",
            "The smallest value of each row is no answer yet: on the diagonal every image meets itself, at distance 0.",
            'Put float("inf") on the diagonal (fill_diagonal_), then take the minimum of each row.',
        ),
    ),
)

ANSWERS = (
    "Only the embedding, the teacher's last and coarsest map. It holds far fewer numbers than the three maps together, "
    "so there is nothing to copy them from: they have to be predicted.",
    "The teacher's features of the same query (TSD), and the weighted sum of the student's own features of the "
    "supports (SSD).",
    "It maps all images of a task to similar features, so query and supports agree although nothing has been learned.",
    "To draw every image of a task alike. The coloured drawings show it, and the bars of the mean distance between "
    "different images, lowest with the released lambdas. It is taken first because the gradient of SSD is many times "
    "longer at the start, and the released lambdas make it ten times longer still.",
    "On APTOS the TSD map: inside the fundus its pixel AUROC rises clearly. The SSD map gains next to nothing there, "
    "and its peak seldom lies on a lesion.",
)
