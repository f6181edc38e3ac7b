"""The anomaly maps of the images with the highest scores, kept while a folder is scored; memory stays bounded."""

from __future__ import annotations

import heapq
import itertools
from typing import NamedTuple

import numpy as np


class KeptMap(NamedTuple):
    """What a page needs of one image: its map, float [S, S], and how much each support counted, float [K]."""

    anomaly_map: np.ndarray
    weights: np.ndarray


class TopMaps:
    """Maps of the `most` highest scores so far.

    Parameters
    ----------
    most : int
        How many are kept; 0 for none.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._kept: dict[str, KeptMap] = {}

    def add(self, name: str, score: float, kept: KeptMap) -> None:
        """Keep this image's map, unless as many images have higher scores."""
        if self.most <= 0:
            return
        if len(self._heap) == self.most and score <= self._heap[0][0]:
            return
        heapq.heappush(self._heap, (score, -next(self._order), name))
        self._kept[name] = kept
        if len(self._heap) > self.most:
            del self._kept[heapq.heappop(self._heap)[2]]

    def get(self, name: str) -> KeptMap | None:
        """What is kept of an image, None where nothing is."""
        return self._kept.get(name)
