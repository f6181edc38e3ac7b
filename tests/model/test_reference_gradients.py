"""Gradients of the model against numeric derivatives of `reference.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import reference
import torch
from by_hand import BATCH, CASES, PRESETS, SHOTS, TOLERANCE, ByHand, detector, pictures
from torch import Tensor

from d24fad_lite.model.detector import D24FAD


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
    return {
        n: p.grad.numpy() if p.grad is not None else np.zeros(p.shape)
        for n, p in model.named_parameters()
        if p.requires_grad
    }


@pytest.mark.parametrize(
    "case",
    [
        *PRESETS,
        "paper distance=flattened",
        "paper fusion=features",
        "kit attention_scale=elements",
        "kit weighting=mean",
        "kit weighting=nearest",
        "kit lambda_tsd=0.0",
        "kit lambda_ssd=0.0",
        "kit student_padding=reflect",
        "paper student_padding=replicate",
        "kit stop_gradient=True",
        "paper stop_gradient=True",
    ],
)
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
    model(queries, support_rows=torch.tensor(members).T).loss.backward()
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


@pytest.mark.slow
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
