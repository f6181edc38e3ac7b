"""An evenly spaced part of many images, where looking at all of them would take too long."""

from __future__ import annotations

import numpy as np


def evenly_spaced(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of these rows, evenly spaced, the first and the last among them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]


def even_part(labels: np.ndarray, most: int) -> np.ndarray:
    """Ascending positions of at most `most` images, evenly spaced within each class and half of each where possible."""
    labels = np.asarray(labels)
    if len(labels) <= most:
        return np.arange(len(labels))
    bad, good = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    n_bad = min(len(bad), max(most // 2, most - len(good)))
    return np.sort(np.concatenate([evenly_spaced(good, most - n_bad), evenly_spaced(bad, n_bad)]))
