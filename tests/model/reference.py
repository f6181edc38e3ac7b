"""A second, slow D²4FAD in numpy loops and float64, written from the equations alone, to hold the package against.

Nothing here comes from d24fad_lite.model, and nothing uses torch. Arrays are [N, C, H, W]; lists of levels run from
fine to coarse; `members[b]` lists which of the N supports belong to query b; `c` holds the switches by their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
State = Mapping[str, Array]
Members = Sequence[Sequence[int]]


# -- the student, from its state dict alone -----------------------------------------------------------------------


def convolve(x: Array, weight: Array, padding: int = 0, bias: Array | None = None, beyond: str = "zeros") -> Array:
    """y[n, o, i, j] = sum over c, u, v of weight[o, c, u, v] x[n, c, i + u, j + v]; groups follow from the shapes."""
    outputs, share, height, width = weight.shape
    groups = x.shape[1] // share
    for axis in (2, 3) if padding else ():  # by one position, for kernels of 3
        first, last = np.take(x, [0], axis), np.take(x, [-1], axis)
        if beyond == "zeros":
            first, last = 0 * first, 0 * last
        elif beyond == "reflect":  # b | a b c | b
            first, last = np.take(x, [1], axis), np.take(x, [-2], axis)
        x = np.concatenate([first, x, last], axis)
    y = np.zeros((len(x), outputs, x.shape[2] - height + 1, x.shape[3] - width + 1))
    for g in range(groups):
        target = slice(g * outputs // groups, (g + 1) * outputs // groups)
        rows = weight[target].reshape(outputs // groups, -1)
        for n in range(len(x)):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    patch = x[n, g * share : (g + 1) * share, i : i + height, j : j + width]
                    y[n, target, i, j] = rows @ patch.ravel()
    return y if bias is None else y + bias[None, :, None, None]


def convolve_doubling(x: Array, weight: Array, outputs: int) -> Array:
    """2x2, stride 2, transposed: y[n, o, 2i + u, 2j + v] = sum over c of x[n, c, i, j] weight[c, o, u, v]."""
    groups = outputs // weight.shape[1]
    share, width = x.shape[1] // groups, weight.shape[1]
    y = np.zeros((len(x), outputs, 2 * x.shape[2], 2 * x.shape[3]))
    for g in range(groups):
        source, target = slice(g * share, (g + 1) * share), slice(g * width, (g + 1) * width)
        for n in range(len(x)):
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    for u in range(2):
                        for v in range(2):
                            y[n, target, 2 * i + u, 2 * j + v] = x[n, source, i, j] @ weight[source, :, u, v]
    return y


def batch_norm(x: Array, state: State, name: str, training: bool) -> Array:
    """Each channel less its mean, over its standard deviation; of the batch in training, the running ones else."""
    y = np.empty_like(x)
    for channel in range(x.shape[1]):
        values = x[:, channel]
        mean, variance = state[f"{name}.running_mean"][channel], state[f"{name}.running_var"][channel]
        if training:
            mean = values.sum() / values.size
            variance = ((values - mean) ** 2).sum() / values.size
        scaled = (values - mean) / math.sqrt(variance + 1e-5)
        y[:, channel] = scaled * state[f"{name}.weight"][channel] + state[f"{name}.bias"][channel]
    return y


def residual_block(x: Array, state: State, name: str, training: bool, last_relu: bool, beyond: str) -> Array:
    """Basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1); a 2x2 kernel is the transposed one that doubles the grid."""

    def layer(x: Array, convolution: str, norm: str) -> Array:
        weight = state[f"{name}.{convolution}.weight"]
        if weight.shape[-1] == 2:
            y = convolve_doubling(x, weight, len(state[f"{name}.{norm}.weight"]))
        else:
            y = convolve(x, weight, weight.shape[-1] // 2, beyond=beyond)
        return batch_norm(y, state, f"{name}.{norm}", training)

    count = 3 if f"{name}.conv3.weight" in state else 2
    y = x
    for number in range(1, count + 1):
        y = layer(y, f"conv{number}", f"bn{number}")
        if number < count:
            y = np.maximum(y, 0)
    y = y + (layer(x, "upsample.0", "upsample.1") if f"{name}.upsample.0.weight" in state else x)
    return np.maximum(y, 0) if last_relu else y


def student(
    embedding: Array,
    state: State,
    grids: Sequence[tuple[int, int]],
    signed: Sequence[bool],
    training: bool,
    beyond: str = "zeros",
) -> list[Array]:
    """g_1 .. g_L of one batch: stages layer1 (coarse) .. layerL (fine); a signed level ends without its ReLU."""
    x, levels = embedding, []
    for stage in range(1, len(grids) + 1):
        level = len(grids) - stage
        depth = len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})
        for block in range(depth):
            last_relu = block < depth - 1 or not signed[level]
            x = residual_block(x, state, f"layer{stage}.{block}", training, last_relu, beyond)
        if x.shape[2:] != tuple(grids[level]):
            x = np.stack([[bilinear(channel, *grids[level], corners=False) for channel in image] for image in x])
        levels.insert(0, x)
    return levels


def bilinear(picture: Array, height: int, width: int, corners: bool) -> Array:
    """[h, w] -> [height, width]; corner pixels on corner pixels, or edges on edges."""
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            (top, bottom, a), (left, right, b) = (
                _neighbours(k, old, new, corners)
                for k, old, new in ((i, picture.shape[0], height), (j, picture.shape[1], width))
            )
            upper = (1 - b) * picture[top, left] + b * picture[top, right]
            lower = (1 - b) * picture[bottom, left] + b * picture[bottom, right]
            out[i, j] = (1 - a) * upper + a * lower
    return out


def _neighbours(k: int, old: int, new: int, corners: bool) -> tuple[int, int, float]:
    place = k * (old - 1) / max(new - 1, 1) if corners else max((k + 0.5) * old / new - 0.5, 0.0)
    low = min(int(place), old - 1)
    return low, min(low + 1, old - 1), place - low


# -- learn-to-weight ------------------------------------------------------------------------------------------------


def attention(query: Array, supports: Array, state: State, level: int, members: Members, c: Mapping[str, Any]) -> Array:
    """w [B, K] of one level: softmax over the supports of <vec q, vec phi(s)> / (sqrt(C or CHW) temperature)."""
    keys = convolve(supports, state[f"proj_in{level + 1}.weight"], bias=state[f"proj_in{level + 1}.bias"])
    terms = query.shape[1] if c["attention_scale"] == "channels" else query[0].size
    weights = []
    for q, own in zip(query, members, strict=True):
        if c["weighting"] == "mean":
            weights.append([1 / len(own)] * len(own))
            continue
        if c["weighting"] == "learned":
            a = [float((q * keys[n]).sum()) / (math.sqrt(terms) * c["temperature"]) for n in own]
            powers = [math.exp(value - max(a)) for value in a]
            weights.append([power / sum(powers) for power in powers])
            continue
        nearest = [cosine(q, supports[n]) for n in own]
        chosen = nearest.index(max(nearest)) if c["weighting"] == "nearest" else 0
        weights.append([float(k == chosen) for k in range(len(own))])
    return np.array(weights)


# -- distances and losses -------------------------------------------------------------------------------------------


def cosine(a: Array, b: Array) -> float:
    """<a, b> / (|a| |b|), a norm below 1e-8 counting as 1e-8: the floor of the cosine in the released code."""
    norms = [max(math.sqrt(float((v * v).sum())), 1e-8) for v in (a, b)]
    return float((a * b).sum()) / (norms[0] * norms[1])


def at_each_position(function: Callable[[Array, Array], float], a: Array, b: Array) -> Array:
    """function(a[:, i, j], b[:, i, j]) for all i, j: [C, H, W] twice -> [H, W]."""
    return np.array([[function(a[:, i, j], b[:, i, j]) for j in range(a.shape[2])] for i in range(a.shape[1])])


def dissimilarity(a: Array, b: Array) -> float:
    return 1 - cosine(a, b)


def distance(a: Array, b: Array, kind: str) -> float:
    """Of two feature maps [C, H, W]: one cosine of all they hold, or the mean over positions."""
    return dissimilarity(a, b) if kind == "flattened" else float(at_each_position(dissimilarity, a, b).mean())


def fused(supports: Array, weights: Sequence[float], own: Sequence[int]) -> Array:
    """h = sum over k of w_k g(s_k) of one query."""
    h = np.zeros_like(supports[0])
    for w, n in zip(weights, own, strict=True):
        h = h + w * supports[n]
    return h


def losses(
    teacher: list[Array],
    query: list[Array],
    supports: list[Array],
    state: State,
    members: Members,
    c: Mapping[str, Any],
) -> tuple[float, float, float]:
    """(loss, TSD, SSD) of a batch of queries, state being that of learn-to-weight."""
    tsd = ssd = 0.0
    for level, (f, g, s) in enumerate(zip(teacher, query, supports, strict=True)):
        w = attention(g, s, state, level, members, c)
        for b, own in enumerate(members):
            tsd += distance(f[b], g[b], c["distance"]) / len(g)
            if c["fusion"] == "features":
                ssd += distance(g[b], fused(s, w[b], own), c["distance"]) / len(g)
            else:
                ssd += sum(w[b, k] * distance(g[b], s[n], c["distance"]) for k, n in enumerate(own)) / len(g)
    return c["lambda_ssd"] * ssd + c["lambda_tsd"] * tsd, tsd, ssd


# -- the anomaly map ------------------------------------------------------------------------------------------------


def raw_maps(
    teacher: list[Array],
    query: list[Array],
    supports: list[Array],
    state: State,
    members: Members,
    c: Mapping[str, Any],
    support_teacher: list[Array] | None = None,
) -> Array:
    """[B, S, S] before the blur; `support_teacher`, the supports' teacher levels, for the switch compare_in."""
    side = c["image_size"]
    maps = np.zeros((len(members), side, side))
    for level, (f, g, s) in enumerate(zip(teacher, query, supports, strict=True)):
        w = attention(g, s, state, level, members, c)
        for b, own in enumerate(members):
            residual = np.zeros(g.shape[2:])
            if c["map_source"] in ("ssd", "both") and c["compare_in"] in ("student", "both"):
                residual = residual + support_residual(g[b], [s[n] for n in own], w[b], c)
            if c["map_source"] in ("ssd", "both") and c["compare_in"] in ("teacher", "both"):
                residual = residual + support_residual(f[b], [support_teacher[level][n] for n in own], w[b], c)
            if c["map_source"] in ("tsd", "both"):
                residual = residual + at_each_position(dissimilarity, f[b], g[b])
            maps[b] += bilinear(residual, side, side, corners=c["align_corners"])
    return maps


def support_residual(query: Array, supports: Sequence[Array], weights: Sequence[float], c: Mapping[str, Any]) -> Array:
    """[H, W] of one query [C, H, W] against its K supports; `matching` and `match_radius` are the kit's own."""
    if c["matching"] == "subspace":
        return at_each_position(outside_span, query, np.concatenate(supports))
    if c["matching"] == "nearest":
        return np.min([nearby(query, s, c["match_radius"]) for s in supports], axis=0)
    if c["fusion"] == "features":
        return nearby(query, fused(np.stack(supports), weights, range(len(supports))), c["match_radius"])
    return sum(w * nearby(query, s, c["match_radius"]) for w, s in zip(weights, supports, strict=True))


def nearby(a: Array, b: Array, radius: float) -> Array:
    """At each position of a [C, H, W] the smallest 1 - cos to the positions of b around it, the border being an end."""
    height, width = a.shape[1:]
    up, across = math.floor(radius * height + 0.5), math.floor(radius * width + 0.5)
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            out[i, j] = min(
                dissimilarity(a[:, i, j], b[:, y, x])
                for y in range(max(i - up, 0), min(i + up + 1, height))
                for x in range(max(j - across, 0), min(j + across + 1, width))
            )
    return out


def outside_span(vector: Array, others: Array) -> float:
    """1 - |projection of the unit vector on the span of the others| with a ridge of 0.001; others laid end to end."""

    def unit(v: Array) -> Array:
        return v / max(math.sqrt(float((v * v).sum())), 1e-8)

    columns = [unit(v) for v in others.reshape(-1, len(vector))]
    gram = np.array([[float((u * v).sum()) for v in columns] for u in columns]) + 1e-3 * np.eye(len(columns))
    products = np.array([float((unit(vector) * v).sum()) for v in columns])
    squared = float(products @ np.linalg.inv(gram) @ products)
    return 1 - math.sqrt(min(max(squared, 0.0), 1.0))


def blurred(picture: Array, sigma: float) -> Array:
    """One map [H, W] convolved with a Gaussian cut off at 4 sigma; beyond an edge the picture is mirrored."""
    if sigma == 0:
        return picture
    reach = math.floor(4 * sigma + 0.5)
    kernel = [math.exp(-(u * u) / (2 * sigma * sigma)) for u in range(-reach, reach + 1)]
    total = sum(kernel)
    for axis in (0, 1):
        source = np.moveaxis(picture, axis, 0)
        out = np.zeros_like(source)
        for i in range(len(source)):
            for u in range(-reach, reach + 1):
                out[i] += kernel[u + reach] / total * source[_mirrored(i + u, len(source))]
        picture = np.moveaxis(out, 0, axis)
    return picture


def _mirrored(position: int, length: int) -> int:
    """c b a | a b c | c b a, as often as it takes."""
    while not 0 <= position < length:
        position = -1 - position if position < 0 else 2 * length - 1 - position
    return position


def score(picture: Array, kind: str, top_share: float) -> float:
    """Largest value of a map, the mean of its values, or that of a share of them, the highest."""
    values = sorted((float(value) for value in picture.ravel()), reverse=True)
    if kind == "top":
        values = values[: max(1, math.floor(top_share * len(values) + 0.5))]
    return values[0] if kind == "max" else sum(values) / len(values)
