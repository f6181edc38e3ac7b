"""AUPRO against its definition and closed forms; lesions counted one by one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.localisation import Localisation, aupro, localise, size_class
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD


def naive_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Threshold by threshold, lesion by lesion."""
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        above = maps >= threshold
        shares = []
        for i, mask in enumerate(masks):
            marked, count = label(mask, structure=np.ones((3, 3)))
            shares += [above[i][marked == c].mean() for c in range(1, count + 1)]
        points.append((above[~masks].mean(), np.mean(shares)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        stop = min(x1, limit)
        y_stop = y1 if x1 <= limit else y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (stop - x0) * (y0 + y_stop) / 2
    return area / limit


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps [4, 12, 12] that know something about masks with 0 to 3 lesions, two of which touch at a corner only."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 12, 12), bool)
    masks[0, 1:4, 1:3] = masks[0, 8, 8] = masks[1, 5:11, 4:9] = masks[2, 0:2, 0:2] = masks[2, 2:4, 2:4] = True
    masks[2, 9:11, 9] = True
    return rng.normal(size=masks.shape) + 1.2 * masks, masks


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_aupro_is_that_of_its_definition_also_with_ties(limit: float, decimals: int) -> None:
    for seed in range(3):
        maps, masks = scene(seed)
        maps = maps.round(decimals)
        assert aupro(maps, masks, limit) == pytest.approx(naive_aupro(maps, masks, limit), abs=1e-12)


def test_closed_forms_perfect_blind_inverted_and_half_a_lesion() -> None:
    _, masks = scene(0)
    assert aupro(masks.astype(float), masks) == pytest.approx(1)
    assert aupro(np.ones(masks.shape), masks) == pytest.approx(0.15)  # a line from (0, 0) to (1, 1), up to 0.3
    assert aupro(-masks.astype(float), masks) == pytest.approx(0)
    half = np.zeros((1, 10, 10), bool)
    half[0, :2, :2] = True
    maps = np.zeros(half.shape)
    maps[0, 0, :2] = 1  # half of the lesion on top, all else equal: from (0, 1/2) straight to (1, 1)
    assert aupro(maps, half) == pytest.approx(0.5 + 0.3 * 0.5 / 2)


def test_a_tiny_lesion_counts_as_much_as_a_large_one() -> None:
    masks = np.zeros((1, 20, 20), bool)
    masks[0, :10, :10] = masks[0, 15, 15] = True
    only_large, only_tiny = masks.astype(float), -masks.astype(float)  # the other one lies below all normal pixels
    only_large[0, 15, 15], only_tiny[0, 15, 15] = -1, 1
    assert aupro(only_large, masks) == pytest.approx(0.5)
    assert aupro(only_tiny, masks) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda maps, masks: (maps[:, :5], masks, 0.3), "one shape"),
        (lambda maps, masks: (maps, masks, 0), "limit=0"),
        (lambda maps, masks: (maps, masks & False, 0.3), "found 0 lesions"),
        (lambda maps, masks: (maps, masks | True, 0.3), "0 normal pixels"),
        (lambda maps, masks: (np.where(masks, np.nan, maps), masks, 0.3), "NaN"),
    ],
)
def test_what_has_no_aupro_is_refused(change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        aupro(*change(*scene(0)))  # type: ignore[operator]


@pytest.fixture
def found() -> Localisation:
    maps, masks = scene(3)
    return Localisation("T", "m", np.arange(2), np.array([5, 6, 7, 9]), list("abcd"), maps, masks)


def test_lesions_are_measured_one_by_one(found: Localisation) -> None:
    table = found.lesions(threshold=1.0)
    assert table["pixels"].tolist() == [1, 2, 6, 8, 30]  # corners join the two squares of image 7
    big = table.iloc[-1]
    inside = found.maps[1][found.masks[1]]
    assert (big["image"], big["name"], big["row"], big["column"]) == (6, "b", 7.5, 6.0)
    assert big["coverage"] == pytest.approx((inside > 1).mean()) and big["peak"] == pytest.approx(inside.max())
    assert (table["missed"] == (table["peak"] <= 1.0)).all()
    assert found.missed(threshold=1e9, count=2)["pixels"].tolist() == [1, 2]


def test_size_classes_split_the_lesions_and_their_aupro(found: Localisation) -> None:
    assert size_class(np.array([0.0025, 0.0026, 0.01, 0.04, 0.5])).tolist() == [
        "tiny",
        "small",
        "small",
        "medium",
        "large",
    ]
    rows = found.by_size().set_index("size")
    assert rows["lesions"].tolist() == [0, 1, 1, 3] and np.isnan(rows.loc["tiny", "AUPRO"])
    weighted = (rows["AUPRO"] * rows["lesions"]).sum() / 5
    assert weighted == pytest.approx(found.aupro())  # the mean over lesions is linear in them


def test_the_threshold_lets_the_asked_share_of_normal_pixels_through(found: Localisation) -> None:
    above = found.maps[~found.masks] > found.threshold(0.1)
    assert above.mean() == pytest.approx(0.1, abs=2 / above.size)


def test_localising_a_task_agrees_with_its_evaluation(tiny_root: Path) -> None:
    task = open_benchmark(tiny_root)["Stripes"]
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
    found = localise(model, task, shots=3, draw=1)
    report = evaluate(model, task, 3, 2)
    assert report.pixel_aurocs is not None
    assert found.pixel_auroc == pytest.approx(report.pixel_aurocs[1], abs=1e-3)
    np.testing.assert_array_equal(found.supports, report.supports[1])
    assert "lesion" in found.summary()
    with pytest.raises(ValueError, match="gives no anomaly maps"):
        localise(MeanFeature(model), task)
