"""The pixel histogram keeps its promise inside and outside its range; a metric without both classes is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from d24fad_lite.evaluation.metrics import PixelAuroc, average_precision, f1_max, image_auroc


def maps_and_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((4, 20, 20)) < 0.2
    return rng.normal(size=masks.shape) + masks, masks


@pytest.mark.parametrize(
    ("low", "high", "bins"),
    [
        (-5, 6, 2**16),  # all within the range
        (-5, 6, 20),  # steps so wide that many pixels tie
        (-1, 1, 2**16),  # much below and much above the range
        (3, 9, 50),  # nearly all below the range
    ],
)
def test_pixel_auroc_is_right_to_its_resolution_also_outside_its_range(low: float, high: float, bins: int) -> None:
    maps, masks = maps_and_masks(0)
    meter = PixelAuroc(low, high, bins)
    for part in range(4):
        meter.add(maps[part : part + 1], masks[part : part + 1])
    assert meter.value is not None
    assert abs(meter.value - roc_auc_score(masks.ravel(), maps.ravel())) <= meter.resolution
    assert meter.resolution < 1e-4 or bins < 100 or high == 1


def test_values_outside_the_range_of_the_histogram_count_as_ties_in_its_first_and_last_step() -> None:
    maps, masks = maps_and_masks(1)
    meter = PixelAuroc(-0.5, 0.5)
    meter.add(maps, masks)
    assert meter.value == pytest.approx(roc_auc_score(masks.ravel(), maps.clip(-0.5, 0.5).ravel()), abs=1e-4)


def test_a_constant_map_and_a_range_of_zero_give_one_half() -> None:
    _, masks = maps_and_masks(2)
    meter = PixelAuroc(3.0, 3.0)
    assert meter.value is None
    meter.add(np.full(masks.shape, 3.0, np.float32), masks)
    assert meter.value == 0.5


@pytest.mark.parametrize("metric", [image_auroc, average_precision, f1_max])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0], [1.0, 2.0], "must hold both classes"),
        ([0, 1], [1.0, np.nan], r"images \[1\] are NaN or infinite"),
        ([0, 1], [1.0, 2.0, 3.0], "two vectors of one length"),
    ],
)
def test_what_has_no_metric_is_refused(metric, labels, scores, message) -> None:
    with pytest.raises(ValueError, match=message):
        metric(np.array(labels), np.array(scores))
