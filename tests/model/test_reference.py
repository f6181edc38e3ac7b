"""The model against `reference.py`: student features, weights, losses, gradients, maps and scores, switch by switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from d24fad_lite.model.anomaly_map import gaussian_blur, sum_levels
from d24fad_lite.model.config import CHOICES, READINGS, D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import D24FADOutput

TOLERANCE = 1e-5  # relative
SIZE, BATCH, SHOTS = 24, 2, 3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRESETS: dict[str, Callable[..., D24FADConfig]] = {
    "kit": D24FADConfig, "official": D24FADConfig.official, "paper": D24FADConfig.paper}

Case = tuple[str, dict[str, Any]]
CASES: dict[str, Case] = {preset: (preset, {}) for preset in PRESETS}
for _name in ("distance", "fusion", "map_source", "image_score", "attention_scale", "weighting",
              "student_padding"):
    for _preset in ("kit", "paper"):  # every value beside the preset's own
        _values = [v for v in CHOICES[_name] if v != getattr(PRESETS[_preset](), _name)]
        CASES |= {f"{_preset} {_name}={v}": (_preset, {_name: v}) for v in _values}
CASES |= {f"kit {n}={v}": ("kit", {n: v}) for n, v in (
    ("normalize", False), ("temperature", 0.4), ("temperature", 5.0), ("lambda_tsd", 0.0), ("lambda_ssd", 0.0),
    ("lambda_tsd", 2.5), ("blur_sigma", 0.0), ("blur_sigma", 1.3), ("stop_gradient", True))}
CASES["paper stop_gradient=True"] = ("paper", {"stop_gradient": True})
# The kit's own switches of the anomaly map, which the training step does not read.
MAP_CASES: dict[str, Case] = {f"{preset} {changes}": (preset, changes) for preset in ("kit", "paper") for changes in (
    {"matching": "nearest"}, {"matching": "subspace"}, {"match_radius": 0.2}, {"compare_in": "teacher"},
    {"compare_in": "both"}, {"matching": "nearest", "match_radius": 0.1, "compare_in": "both"},
    {"align_corners": False}, {"image_score": "top", "top_share": 0.3})}
MAP_CASES |= {f"kit read as {name}": ("kit", dict(settings)) for name, settings in READINGS.items()}


class TinyTeacher(nn.Module):
    """24 px -> 4@12, 6@6 (signed), 8@3 and 10@2: the coarsest grid is odd, so the student has to resize."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1)
                                       for a, b in ((3, 4), (4, 6), (6, 8), (8, 10)))
            for conv in self.convs:
                nn.init.normal_(conv.weight, std=0.5)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number, conv in enumerate(self.convs):
            x = conv(x) if number == 1 else conv(x).relu()
            maps.append(x)
        return maps


def detector(case: Case, dtype: torch.dtype = torch.float64) -> D24FAD:
    """A detector whose batch norms and biases are not at their trivial start."""
    preset, changes = case
    model = D24FAD(PRESETS[preset](teacher=TinyTeacher(), weights="random", image_size=SIZE, **changes)).to(dtype)
    stir(model)
    return model.eval()


def stir(model: D24FAD) -> None:
    generator = torch.Generator().manual_seed(1)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator, dtype=torch.float64).to(like) * (high - low) + low

    with torch.no_grad():
        for module in model.student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.3, 0.3))
                module.running_mean.copy_(uniform(module.running_mean, -0.3, 0.3))
                module.running_var.copy_(uniform(module.running_var, 0.5, 1.5))


def pictures(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Coarse patches of colour, so that images differ by more than their noise."""
    patches = torch.rand(*shape, 3, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return patches.repeat_interleave(SIZE // 3, dim=-1).repeat_interleave(SIZE // 3, dim=-2).to(dtype)


def numpy_state(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().double().numpy() for name, tensor in module.state_dict().items()}


def arrays(tensors: list[Tensor]) -> list[np.ndarray]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def close(found: Tensor | np.ndarray | float, expected: Any, tolerance: float = TOLERANCE) -> None:
    found = np.asarray(found.detach() if isinstance(found, Tensor) else found, np.float64)
    expected = np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-12)


class ByHand:
    """The reference's view of a detector: its own normalisation, then embeddings from the bare teacher module."""

    def __init__(self, model: D24FAD, training: bool = False) -> None:
        self.model, self.training, self.c = model, training, model.config.to_dict()
        self.student_state, self.weighting_state = numpy_state(model.student), numpy_state(model.weighting)
        self.support_state = self.student_state  # as it was, where no gradient is to flow through the supports
        self.grids, self.signed = [(12, 12), (6, 6), (3, 3)], [False, True, False]

    def teach(self, images: Tensor) -> list[np.ndarray]:
        images = images.clone()
        if self.c["normalize"]:
            for channel in range(3):
                images[:, channel] = (images[:, channel] - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        with torch.no_grad():
            return arrays(self.model.config.teacher(images))

    def student(self, embedding: np.ndarray, of_support: bool = False) -> list[np.ndarray]:
        state = self.support_state if of_support and self.c["stop_gradient"] else self.student_state
        return reference.student(embedding, state, self.grids, self.signed, self.training, self.c["student_padding"])

    def supports(self, images: Tensor) -> tuple[list[np.ndarray], list[list[int]]]:
        """Student levels of own ([K, B, ...]) or shared ([K, ...]) supports, call by call, and who they belong to."""
        own = images.ndim == 5
        calls = [self.student(self.teach(part if own else part[None])[-1], of_support=True) for part in images]
        shots = len(images)
        members = [[k * BATCH + b if own else k for k in range(shots)] for b in range(BATCH)]
        return [np.concatenate(level) for level in zip(*calls, strict=True)], members


def compare_outputs(out: D24FADOutput, hand: ByHand, queries: Tensor, supports: Tensor | None,
                    members: list[list[int]] | None = None) -> None:
    *levels, embedding = hand.teach(queries)
    g = hand.student(embedding)
    if supports is None:
        s = g
    else:
        s, members = hand.supports(supports)
    for found, expected in zip([*out.query_features, *out.support_features], [*g, *s], strict=True):
        close(found, expected)
    for level in range(3):
        w = reference.attention(g[level], s[level], hand.weighting_state, level, members, hand.c)
        close(out.weights[:, level], w)
        for b, own in enumerate(members):
            close(out.fused_features[level][b], reference.fused(s[level], w[b], own))
    loss, tsd, ssd = reference.losses(levels, g, s, hand.weighting_state, members, hand.c)
    close(out.loss_tsd, tsd)
    close(out.loss_ssd, ssd)
    close(out.loss, loss)


@pytest.mark.parametrize("case", CASES)
def test_a_training_step_gives_features_weights_and_losses_of_the_reference(case: str) -> None:
    model = detector(CASES[case]).train()
    hand = ByHand(model, training=True)
    queries, supports = pictures(BATCH), pictures(SHOTS, BATCH, seed=1)
    compare_outputs(model(queries, supports), hand, queries, supports)


@pytest.mark.parametrize("case", [*CASES, *MAP_CASES])
def test_a_prediction_gives_weights_maps_and_scores_of_the_reference(case: str) -> None:
    model = detector((CASES | MAP_CASES)[case])
    hand = ByHand(model)
    queries, images = pictures(BATCH), pictures(SHOTS, seed=1)
    *levels, embedding = hand.teach(queries)
    g, (s, members) = hand.student(embedding), hand.supports(images)
    bank = model.encode_supports(images)
    raw = reference.raw_maps(levels, g, s, hand.weighting_state, members, hand.c, hand.teach(images)[:-1])
    close(model.raw_map(queries, bank), raw)
    found = model.predict(queries, bank)
    maps = [reference.blurred(picture, hand.c["blur_sigma"]) for picture in raw]
    close(found.anomaly_map, np.stack(maps))
    close(found.score, [reference.score(picture, hand.c["image_score"], hand.c["top_share"]) for picture in maps])
    for level in range(3):
        close(found.weights[:, level], reference.attention(g[level], s[level], hand.weighting_state, level, members,
                                                           hand.c))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", PRESETS)
def test_supports_shared_by_all_queries_agree_too(case: str, training: bool) -> None:
    model = detector(CASES[case]).train(training)
    hand = ByHand(model, training)
    queries, supports = pictures(BATCH), pictures(SHOTS, seed=1)
    compare_outputs(model(queries, supports), hand, queries, supports)


@pytest.mark.parametrize("case", [*PRESETS, "kit weighting=nearest", "kit weighting=single", "kit weighting=mean"])
def test_supports_among_the_queries_agree_too_also_when_one_is_drawn_twice(case: str) -> None:
    model = detector(CASES[case]).train()
    hand = ByHand(model, training=True)
    queries = pictures(4)
    members = [[1, 2, 3], [3, 3, 0], [0, 1, 3], [2, 0, 2]]
    rows = torch.tensor(members).T
    compare_outputs(model(queries, rows=rows), hand, queries, None, members)


@pytest.mark.parametrize("case", PRESETS)
def test_single_precision_keeps_the_relative_error_of_the_presets_below_the_tolerance(case: str) -> None:
    model = detector(CASES[case], torch.float32)
    hand = ByHand(model)
    queries, images = pictures(BATCH, dtype=torch.float32), pictures(SHOTS, seed=1, dtype=torch.float32)
    compare_outputs(model(queries, images), hand, queries, images)
    *levels, embedding = hand.teach(queries)
    s, members = hand.supports(images)
    raw = reference.raw_maps(levels, hand.student(embedding), s, hand.weighting_state, members, hand.c)
    maps = [reference.blurred(picture, hand.c["blur_sigma"]) for picture in raw]
    close(model.predict(queries, model.encode_supports(images)).anomaly_map, np.stack(maps))


def test_every_choice_of_the_configuration_is_compared() -> None:
    seen = {(name, value) for _, changes in (CASES | MAP_CASES).values() for name, value in changes.items()}
    start = D24FADConfig()
    left = [(n, v) for n, values in CHOICES.items() for v in values if (n, v) not in seen and v != getattr(start, n)]
    assert left == [("train_supports", "fixed")]  # a matter of the episodes, see tests/training


def test_the_weights_compared_here_are_not_trivial() -> None:
    weights = detector(CASES["kit"]).train()(pictures(BATCH), pictures(SHOTS, BATCH, seed=1)).weights
    assert ((weights > 0.05) & (weights < 0.3)).any() and ((weights > 0.4) & (weights < 0.95)).any()


# -- gradients ------------------------------------------------------------------------------------------------------


def reference_loss(hand: ByHand, queries: Tensor, supports: Tensor) -> float:
    *levels, embedding = hand.teach(queries)
    s, members = hand.supports(supports)
    return reference.losses(levels, hand.student(embedding), s, hand.weighting_state, members, hand.c)[0]


def slope(hand: ByHand, queries: Tensor, supports: Tensor, direction: dict[str, np.ndarray]) -> float:
    """Central difference of the reference's loss along a direction in parameter space."""
    return slope_of(lambda: reference_loss(hand, queries, supports), hand, direction)


def slope_of(loss: Callable[[], float], hand: ByHand, direction: dict[str, np.ndarray]) -> float:
    values, step = [], 1e-6  # short: near a ReLU's corner the slope changes
    student, weighting = hand.student_state, hand.weighting_state
    for sign in (1, -1):
        moved = {name: sign * step * d for name, d in direction.items()}
        hand.student_state = {n: t + moved.get(f"student.{n}", 0) for n, t in student.items()}
        hand.weighting_state = {n: t + moved.get(f"weighting.{n}", 0) for n, t in weighting.items()}
        values.append(loss())
    hand.student_state, hand.weighting_state = student, weighting
    return (values[0] - values[1]) / (2 * step)


def gradients(model: D24FAD, queries: Tensor, supports: Tensor) -> dict[str, np.ndarray]:
    model.zero_grad()
    model(queries, supports).loss.backward()
    return {n: p.grad.numpy() if p.grad is not None else np.zeros(p.shape)
            for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("case", [*PRESETS, "paper distance=flattened", "paper fusion=features",
                                  "kit attention_scale=elements", "kit weighting=mean", "kit weighting=nearest",
                                  "kit lambda_tsd=0.0", "kit lambda_ssd=0.0", "kit student_padding=reflect",
                                  "paper student_padding=replicate", "kit stop_gradient=True",
                                  "paper stop_gradient=True"])
def test_gradients_agree_with_numeric_derivatives_of_the_reference(case: str) -> None:
    model = detector(CASES[case]).train()
    hand = ByHand(model, training=True)
    queries, supports = pictures(BATCH), pictures(SHOTS, BATCH, seed=1)
    found = gradients(model, queries, supports)
    rng = np.random.default_rng(0)
    for _ in range(2):  # all parameters at once: a wrong factor anywhere shows
        direction = {name: rng.normal(size=g.shape) * 0.1 for name, g in found.items()}
        expected = slope(hand, queries, supports, direction)
        assert sum((direction[n] * g).sum() for n, g in found.items()) == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("stop", [False, True])
def test_gradients_agree_where_supports_are_among_the_queries_too(stop: bool) -> None:
    model = detector(("kit", {"stop_gradient": stop})).train()
    hand, queries = ByHand(model, training=True), pictures(4)
    members = [[1, 2, 3], [3, 2, 0], [0, 1, 3], [2, 0, 1]]
    *levels, embedding = hand.teach(queries)
    model(queries, rows=torch.tensor(members).T).loss.backward()
    found = {n: p.grad.numpy() for n, p in model.named_parameters() if p.requires_grad}
    rng = np.random.default_rng(0)
    direction = {name: rng.normal(size=g.shape) * 0.1 for name, g in found.items()}

    def loss() -> float:
        s = hand.student(embedding, of_support=True)
        return reference.losses(levels, hand.student(embedding), s, hand.weighting_state, members, hand.c)[0]

    expected = slope_of(loss, hand, direction)
    assert sum((direction[n] * g).sum() for n, g in found.items()) == pytest.approx(expected, rel=TOLERANCE)


def test_stopped_gradient_changes_the_students_gradient_and_leaves_the_losses_and_learn_to_weight_alone() -> None:
    queries, supports = pictures(BATCH), pictures(SHOTS, BATCH, seed=1)
    free, stopped = (detector(("kit", {"stop_gradient": stop})).train() for stop in (False, True))
    first, second = gradients(free, queries, supports), gradients(stopped, queries, supports)
    for name in first:
        same = np.allclose(first[name], second[name], rtol=1e-9, atol=0)
        assert same == name.startswith("weighting."), name
        assert np.abs(second[name]).max() > 0 or name.endswith(".bias"), name


def test_the_gradient_of_every_single_parameter_tensor_agrees() -> None:
    model = detector(CASES["kit"]).train()
    hand = ByHand(model, training=True)
    queries, supports = pictures(BATCH), pictures(SHOTS, BATCH, seed=1)
    found = gradients(model, queries, supports)
    length = np.sqrt(sum((g**2).sum() for g in found.values()))
    rng = np.random.default_rng(0)
    for name, gradient in found.items():
        direction = rng.normal(size=gradient.shape)
        direction /= np.linalg.norm(direction)
        expected = slope(hand, queries, supports, {name: direction})
        assert (direction * gradient).sum() == pytest.approx(expected, rel=TOLERANCE, abs=1e-8 * length), name


# -- batch norm and the students of real backbones --------------------------------------------------------------------


def test_batch_norm_sees_the_queries_and_then_each_support_batch_as_a_call_of_its_own() -> None:
    model = detector(CASES["kit"]).train()
    hand = ByHand(model)
    queries, supports = pictures(BATCH), pictures(SHOTS, BATCH, seed=1)
    mean = hand.student_state["layer1.0.bn1.running_mean"]
    for images in (queries, *supports):
        before = reference.convolve_doubling(hand.teach(images)[-1], hand.student_state["layer1.0.conv1.weight"], 8)
        mean = 0.9 * mean + 0.1 * before.mean(axis=(0, 2, 3))
    model(queries, supports)
    close(model.student.layer1[0].bn1.running_mean, mean)
    assert model.student.layer1[0].bn1.num_batches_tracked == 1 + SHOTS


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "test_resnet",
                                  "test_vit", "test_convnext"])
def test_student_features_of_real_backbones_agree(name: str, training: bool) -> None:
    model = D24FAD(D24FADConfig(teacher=name, weights="random", image_size=32))
    stir(model)
    # Batch statistics of eight values amplify single precision's rounding, so training is compared in double.
    model.train(training).to(torch.float64 if training else torch.float32)
    state, pyramid = numpy_state(model.student), model.teacher.pyramid
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(model.teacher.mean.dtype)
    with torch.no_grad():
        embedding = model.teacher(images).embedding
        found = model.student(embedding)
    expected = reference.student(embedding.double().numpy(), state, pyramid.grids, pyramid.signed, training)
    for level, level_by_hand in zip(found, expected, strict=True):
        close(level, level_by_hand)


# -- the map's two filters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 1.7, 4.0])
@pytest.mark.parametrize("shape", [(16, 16), (7, 33), (40, 5)])
def test_the_blur_is_scipys_of_each_map_and_the_loops(shape: tuple[int, int], sigma: float) -> None:
    maps = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gaussian_blur(maps, sigma)
    for picture, result in zip(maps.numpy(), found, strict=True):
        close(result, gaussian_filter(picture, sigma, mode="reflect", truncate=4.0), 1e-12)
        close(result, reference.blurred(picture, sigma), 1e-12)


def test_levels_are_brought_to_the_image_with_corners_on_corners() -> None:
    residuals = [torch.rand(2, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
                 for side in (9, 4, 1)]
    found = sum_levels(residuals, 20)
    for b in range(2):
        close(found[b], sum(reference.bilinear(r[b].numpy(), 20, 20, corners=True) for r in residuals), 1e-12)
    corner = sum(float(r[0, -1, -1]) for r in residuals)
    assert float(found[0, -1, -1]) == pytest.approx(corner, rel=1e-12)


def test_levels_may_be_brought_to_the_image_with_edges_on_edges() -> None:
    residuals = [torch.rand(2, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
                 for side in (9, 4, 1)]
    found = sum_levels(residuals, 20, align_corners=False)
    for b in range(2):
        close(found[b], sum(reference.bilinear(r[b].numpy(), 20, 20, corners=False) for r in residuals), 1e-12)
