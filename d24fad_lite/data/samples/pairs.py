"""Test images in pairs that no simple statistic tells apart, as a good study matches its cases with controls.

Each pair shares a camera, so brightness and contrast are alike. What else a shortcut could read off the whole picture
is matched by choosing: of a few normal and a few anomalous patients, the two most alike in sharpness, roughness (which
the size of the file follows), distance to the mean image, grey level of the border and share of pixels unlike it make
the pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from d24fad_lite.data.samples.canvas import Array

WEIGHTS = np.array([1.0, 1.0, 2.0, 1.0, 2.0])  # of the statistics; large lesions change the third and the last most
STEP = 0.1  # grey levels of 0..1 by which a pixel is unlike the border


@dataclass(frozen=True)
class Yardstick:
    """What normal pictures [N, S, S, 3] of a task look like on average, and how much their statistics vary."""

    mean: Array  # [S, S, 3]
    spread: Array  # standard deviation of each statistic

    @classmethod
    def of(cls, pictures: Array) -> Yardstick:
        mean = pictures.mean(axis=0)
        return cls(mean, np.std([statistics(picture, mean) for picture in pictures], axis=0))

    def closest(self, normal: Sequence[Array], anomalous: Sequence[Array]) -> tuple[int, int]:
        """Indices of the two pictures, one of each list, that are most alike."""
        a, b = (np.array([statistics(picture, self.mean) for picture in some]) for some in (normal, anomalous))
        apart = ((a[:, None] - b[None]) / self.spread) ** 2 @ WEIGHTS
        row, column = np.unravel_index(int(apart.argmin()), apart.shape)
        return int(row), int(column)


def statistics(picture: Array, mean: Array) -> Array:
    """Sharpness, roughness and distance to the mean image (the first and the last as logarithms), grey level of the
    border and share of pixels unlike it."""
    grey, width = picture.mean(axis=2) / 255, max(1, len(picture) // 16)
    sharpness = ndimage.laplace(255 * grey).var()
    roughness = np.log1p(np.abs(np.diff(picture.astype(np.float32), axis=1))).mean()
    distance = np.abs(picture - mean).mean()
    around = np.ones(grey.shape, bool)
    around[width:-width, width:-width] = False
    border = grey[around]
    unlike = np.abs(grey - np.median(border)) > STEP
    return np.array([np.log(sharpness + 1e-6), roughness, np.log(distance + 1e-6), border.mean(), unlike.mean()])
