"""A small training run and how to compare its weights, for the tests of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import d24fad_lite as d2

CONFIG = d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32)
SETTINGS: dict[str, Any] = dict(shots=2, epochs=2, batch_size=8, lr=1e-3, progress=False, device="cpu")

Weights = dict[str, Tensor]


def trained(bench: d2.Benchmark, config: d2.D24FADConfig = CONFIG, **changes: Any) -> Weights:
    model = d2.D24FAD(config)
    d2.fit(model, bench, **(SETTINGS | changes))
    return weights(model)


def weights(model: d2.D24FAD) -> Weights:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def equal(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
