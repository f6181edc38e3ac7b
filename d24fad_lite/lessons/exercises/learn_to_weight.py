"""Exercises to lesson 05: what the bias of a projection adds, and the weights of the nearest support."""

from __future__ import annotations

import torch

from d24fad_lite.lessons.exercises.exercise import Case, Exercise
from d24fad_lite.model.losses import vec
from d24fad_lite.model.weighting import LearnToWeight


def bias_score(query_map, bias):
    """What the bias of phi adds to the score of every support: [B, C, H, W], [C] -> [B]."""
    per_channel = query_map.sum(dim=(2, 3))  # (B, C): the bias is the same at every position
    return per_channel @ bias  # (B,)


def nearest_weights(query_map, support_map):
    """One-hot weights of the support with the highest cosine: [B, C, H, W], [K, C, H, W] -> [B, K]."""
    q = torch.nn.functional.normalize(query_map.flatten(1), dim=1)  # (B, N)
    s = torch.nn.functional.normalize(support_map.flatten(1), dim=1)  # (K, N)
    closest = (q @ s.T).argmax(dim=1)  # (B,), the first of equals
    return torch.nn.functional.one_hot(closest, len(s)).to(q.dtype)  # (B, K)


def _bias_score_by_keys(query_map, bias):
    """The score of a support without features: its key is the bias and nothing else."""
    channels, height, width = query_map.shape[1:]
    weighting = LearnToWeight([channels])
    with torch.no_grad():
        weighting.get_parameter("proj_in1.bias").copy_(bias)
        key = weighting.keys([torch.zeros(1, channels, height, width)])[0]  # (1, C, H, W)
    return (vec(query_map) * vec(key)).sum(dim=1)  # (B,)


def _nearest_by_package(query_map, support_map):
    return LearnToWeight([query_map.shape[1]], kind="nearest")(query_map, support_map, support_map)


def _bias_cases():
    rng = torch.Generator().manual_seed(51)

    def case(name, *shape):
        return Case(name, (torch.randn(*shape, generator=rng), torch.randn(shape[1], generator=rng)))

    return [
        case("five queries", 5, 8, 6, 6),
        case("a batch of one", 1, 8, 6, 6),
        case("as many channels as queries, height unlike width", 4, 4, 3, 7),
        case("one channel at one position", 3, 1, 1, 1),
    ]


def _nearest_cases():
    rng = torch.Generator().manual_seed(52)

    def maps(*shape):
        return torch.randn(*shape, generator=rng)

    query = maps(3, 6, 5, 5)
    lengths = torch.tensor([1.0, 0.1, 30.0, 3.0])[:, None, None, None]
    close = query[:1] + 0.5 * maps(4, 6, 5, 5)
    marked = torch.zeros(3, 2, 2, 2)  # one entry each: their cosines are exactly 0 or 1
    marked[0, 1, 1, 1], marked[1, 0, 0, 0], marked[2, 0, 0, 0] = 1.0, 1.0, 2.0
    return [
        Case("three queries, four supports", (query, maps(4, 6, 5, 5))),
        Case("supports of very different length", (query, close * lengths)),
        Case("a batch of one", (maps(1, 6, 5, 5), maps(4, 6, 5, 5))),
        Case("one support", (query, maps(1, 6, 5, 5))),
        Case("a tie: the first of equals", (marked[1:], marked)),
        Case("height unlike width", (maps(4, 3, 2, 7), maps(5, 3, 2, 7))),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="bias score",
        solution=bias_score,
        reference=_bias_score_by_keys,
        cases=_bias_cases,
        rtol=1e-3,
        atol=1e-4,
        hints=(
            "The key of a support is W g(s) + b at every position. Which part of the dot product with the query is "
            "left when you take W g(s) away?",
            "b does not depend on the position, so it can be taken out of the sum over positions.",
            "Sum the query over height and width first, [B, C]; what remains is one product with b.",
        ),
    ),
    Exercise(
        number=2,
        title="nearest support",
        solution=nearest_weights,
        reference=_nearest_by_package,
        cases=_nearest_cases,
        hints=(
            "A cosine does not see how long a vector is; a dot product does. What has to be done to both maps first?",
            "Flatten each map to one row and divide it by its length: then q @ s.T is the matrix of cosines, [B, K].",
            "argmax over the supports gives [B]; torch.nn.functional.one_hot(..., K) makes rows of it, which are "
            "integers until you convert them.",
        ),
    ),
)

ANSWERS = (
    "The supports' features go through phi, and so become keys that the query is compared with. What is summed are the "
    "supports' features as they were, without phi.",
    "As many as the level has values, C·H·W. It is divided by sqrt(C) as published, by sqrt(C·H·W) with "
    'attention_scale="elements".',
    "They are not heard: one support has all the weight, and the fused support is that support's features.",
    "All queries favour the same support, and once the scores are centred over the supports their mean over the "
    "queries holds nearly all of the variance.",
    "Mean, nearest and single. On APTOS the intervals of mean and nearest hold 0, so 40 test images do not tell them "
    "from the learned weights; single has the lowest image AUROC.",
)
