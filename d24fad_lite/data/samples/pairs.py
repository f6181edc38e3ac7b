"""Test images in pairs that no simple statistic tells apart, as a good study matches its cases with controls.

The two images of a pair share a camera, so their brightness and contrast are alike. Some normal and some anomalous
patients are candidates; the two whose pictures differ least in five statistics become the pair. The statistics are
what a shortcut could read off the whole picture: sharpness, roughness (which decides the size of the file), distance
to the mean image, grey value of the border, and share of pixels unlike the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from d24fad_lite.data.samples.canvas import Array

# Weights of the statistics. Large lesions change the distance to the mean and the share unlike the border most.
SHARPNESS, ROUGHNESS, DISTANCE, BORDER, UNLIKE = 1.0, 1.0, 2.0, 1.0, 2.0
WEIGHTS = np.array([SHARPNESS, ROUGHNESS, DISTANCE, BORDER, UNLIKE])
UNLIKE_BY = 0.1  # grey value, of 0..1, by which a pixel must differ from the border to be unlike it
BORDER_SHARE = 16  # the border is this part of the side wide
TINY = 1e-6  # keeps the logarithm of zero away


@dataclass(frozen=True)
class Yardstick:
    """What normal pictures [N, S, S, 3] of a task look like on average, and how much their statistics vary."""

    mean: Array  # [S, S, 3]
    spread: Array  # [5], standard deviation of each statistic

    @classmethod
    def of(cls, pictures: Array) -> Yardstick:
        """The yardstick of these normal pictures, [N, S, S, 3] in 0..255."""
        mean = pictures.mean(axis=0)
        return cls(mean, np.std([statistics(picture, mean) for picture in pictures], axis=0))

    def closest(self, normal: Sequence[Array], anomalous: Sequence[Array]) -> tuple[int, int]:
        """Indices of the two pictures, one of each list, that are most alike."""
        normal_statistics = np.array([statistics(picture, self.mean) for picture in normal])  # (N, 5)
        anomalous_statistics = np.array([statistics(picture, self.mean) for picture in anomalous])  # (M, 5)
        differences = (normal_statistics[:, None] - anomalous_statistics[None]) / self.spread  # (N, M, 5)
        apart = differences**2 @ WEIGHTS  # (N, M)
        row, column = np.unravel_index(int(apart.argmin()), apart.shape)
        return int(row), int(column)


def statistics(picture: Array, mean: Array) -> Array:
    """The five statistics [5] of a picture [S, S, 3] in 0..255, in the order of `WEIGHTS`; `mean` is [S, S, 3] too.

    Sharpness and distance to the mean image enter as logarithms.
    """
    grey = picture.mean(axis=2) / 255
    sharpness = ndimage.laplace(255 * grey).var()
    roughness = np.log1p(np.abs(np.diff(picture.astype(np.float32), axis=1))).mean()
    distance = np.abs(picture - mean).mean()
    width = max(1, len(picture) // BORDER_SHARE)
    is_border = np.ones(grey.shape, bool)
    is_border[width:-width, width:-width] = False
    border = grey[is_border]
    unlike = np.abs(grey - np.median(border)) > UNLIKE_BY
    return np.array([np.log(sharpness + TINY), roughness, np.log(distance + TINY), border.mean(), unlike.mean()])
