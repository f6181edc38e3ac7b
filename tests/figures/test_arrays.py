"""Figures take tensors as they come out of a model: on a device, in half precision, with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import d24fad_lite as d2
from d24fad_lite.figures.arrays import as_array


@pytest.mark.parametrize(
    "tensor", [torch.ones(2, 3), torch.ones(2, 3, requires_grad=True), torch.ones(2, 3).bfloat16()]
)
def test_a_tensor_of_any_kind_becomes_an_array(tensor: torch.Tensor) -> None:
    assert as_array(tensor).tolist() == np.ones((2, 3)).tolist()
    assert as_array([True, False], bool).dtype == bool


def test_figures_take_what_carries_a_gradient() -> None:
    """As np.asarray refuses it, like a tensor on a GPU, this finds on any machine what a GPU would find."""
    images, maps = torch.rand(2, 3, 16, 16), torch.rand(2, 16, 16, requires_grad=True)
    d2.weights_figure(torch.rand(3, 4, requires_grad=True).softmax(1))
    d2.query_maps_figure(images, [0, 1], {"map": maps})
    d2.image_rows_figure({"image": list(images), "map": list(maps)})
