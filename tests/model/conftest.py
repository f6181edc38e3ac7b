"""What the tests of transformers' encoders share."""

from __future__ import annotations

import pytest
import torch
from tiny_encoders import SIZE, refuse_connections


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for an address or a connection fails the test."""
    refuse_connections(monkeypatch)


@pytest.fixture
def images() -> torch.Tensor:
    """Three images for a tiny encoder, [3, 3, S, S]."""
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
