"""What every source of encoders returns: a network that gives feature maps, and what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from d24fad_lite.model.weights.source import WeightsSource

PYRAMID_MAPS = 4  # three levels and the embedding
Statistics = tuple[float, ...]


class Backbone(NamedTuple):
    """A network, the mean and standard deviation (RGB) that belong to its weights, and where these came from.

    architecture : what a detector's file must hold to build the network again where its name alone does not say it
        (see `stored_teacher.py`); None for a plain timm name.
    """

    network: nn.Module
    mean: Statistics
    std: Statistics
    source: WeightsSource
    architecture: Mapping[str, Any] | None = None
