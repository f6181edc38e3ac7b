"""The model against `reference.py`: student features, weights, losses, maps and scores, switch by switch."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from by_hand import BATCH, CASES, MAP_CASES, PRESETS, SHOTS, ByHand, close, detector, numpy_state, pictures, stir
from scipy.ndimage import gaussian_filter
from torch import Tensor

from d24fad_lite.model.anomaly_map import gaussian_blur, sum_levels
from d24fad_lite.model.config import CHOICES, D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import D24FADOutput


def compare_outputs(
    out: D24FADOutput, hand: ByHand, queries: Tensor, supports: Tensor | None, members: list[list[int]] | None = None
) -> None:
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
        close(
            found.weights[:, level],
            reference.attention(g[level], s[level], hand.weighting_state, level, members, hand.c),
        )


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
    compare_outputs(model(queries, support_rows=rows), hand, queries, None, members)


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


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "test_resnet", "test_vit", "test_convnext"]
)
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
    residuals = [
        torch.rand(2, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
        for side in (9, 4, 1)
    ]
    found = sum_levels(residuals, 20)
    for b in range(2):
        close(found[b], sum(reference.bilinear(r[b].numpy(), 20, 20, corners=True) for r in residuals), 1e-12)
    corner = sum(float(r[0, -1, -1]) for r in residuals)
    assert float(found[0, -1, -1]) == pytest.approx(corner, rel=1e-12)


def test_levels_may_be_brought_to_the_image_with_edges_on_edges() -> None:
    residuals = [
        torch.rand(2, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
        for side in (9, 4, 1)
    ]
    found = sum_levels(residuals, 20, align_corners=False)
    for b in range(2):
        close(found[b], sum(reference.bilinear(r[b].numpy(), 20, 20, corners=False) for r in residuals), 1e-12)
