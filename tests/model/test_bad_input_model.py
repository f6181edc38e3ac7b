"""Images and settings that the model cannot use: each error says what was found and what is expected."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD

SIZE = 64


@pytest.fixture(scope="module")
def kit() -> D24FAD:
    return D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=SIZE))


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_images_that_are_not_finite_are_named_by_position(value: float, kit: D24FAD) -> None:
    images = pictures(4)
    images[2, 1, 5, 5] = value
    bank = kit.encode_supports(pictures(2))
    for role, call in (
        ("queries", lambda: kit.predict(images, bank)),
        ("queries", lambda: kit(images, pictures(2))),
        ("supports", lambda: kit.encode_supports(images)),
        ("supports", lambda: kit(pictures(4), images)),
    ):
        with pytest.raises(ValueError, match=rf"{role} \[2\] contain NaN or infinite values"):
            call()


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8), "found torch.uint8; divide 8-bit images by 255"),
        ([[0.0]], "found list"),
        (torch.zeros(3, SIZE, SIZE), r"shape \(3, 64, 64\), expected \[N, 3, 64, 64\]"),
        (torch.zeros(2, 1, SIZE, SIZE), r"shape \(2, 1, 64, 64\)"),
        (torch.zeros(2, 3, SIZE, SIZE - 8), r"shape \(2, 3, 64, 56\).*resize the images to squares of 64 px"),
        (torch.zeros(2, 3, 4, 4), r"shape \(2, 3, 4, 4\)"),
        (torch.full((2, 3, SIZE, SIZE), 255.0), "must lie in 0..1, found values from 255 to 255; divide"),
        (torch.full((2, 3, SIZE, SIZE), -1.0), "must lie in 0..1, found values from -1 to -1"),
    ],
)
def test_images_of_another_kind_shape_or_range_are_told_what_is_expected(images: Any, found: str, kit: D24FAD) -> None:
    bank = kit.encode_supports(pictures(2))
    for call in (lambda: kit.predict(images, bank), lambda: kit.encode_supports(images)):
        with pytest.raises(ValueError, match=found):
            call()


def test_no_supports_are_an_error_everywhere(kit: D24FAD) -> None:
    none = torch.zeros(0, 3, SIZE, SIZE)
    with pytest.raises(ValueError, match="got 0 images; at least one normal reference image is needed"):
        kit.encode_supports(none)
    for empty in (none, torch.zeros(0, 2, 3, SIZE, SIZE)):
        with pytest.raises(ValueError, match=r"K at least 1"):
            kit(pictures(2), empty)
    with pytest.raises(ValueError, match="needs supports, or support_rows"):
        kit(pictures(2))


def test_supports_for_another_number_of_queries_are_an_error(kit: D24FAD) -> None:
    with pytest.raises(ValueError, match="for 3 queries; the batch has 2"):
        kit(pictures(2), pictures(6).view(2, 3, 3, SIZE, SIZE))
    with pytest.raises(ValueError, match="3 images do not divide among 2 queries"):
        kit(kit.teacher(pictures(2)), kit.teacher(pictures(3)))


@pytest.mark.parametrize("size", [0, 15, -1, 64.0, "64", True])
def test_a_tiny_or_odd_image_size_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="must be a whole number of pixels, 16 to 4096"):
        D24FADConfig(image_size=size)


@pytest.mark.parametrize("size", [16, 17, 33])
def test_the_smallest_and_odd_sizes_work(size: int) -> None:
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=size))
    images = torch.rand(3, 3, size, size)
    found = model.predict(images, model.encode_supports(images))
    assert found.anomaly_map.shape == (3, size, size) and torch.isfinite(found.score).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": "cosine"}, "distance='cosine' is not known; choose one of 'flattened', 'pointwise'"),
        ({"temperature": 0}, "temperature=0 must be greater than 0"),
        ({"lambda_tsd": -1}, "lambda_tsd=-1 must be a finite number, at least 0"),
        ({"lambda_tsd": 0, "lambda_ssd": 0}, "nothing would be learnt"),
        ({"blur_sigma": float("nan")}, "blur_sigma=nan must be a finite number"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        D24FADConfig(**changes)


def test_a_configuration_survives_json_and_refuses_what_it_does_not_know() -> None:
    config = D24FADConfig.paper(temperature=2.0, seed=3)
    assert D24FADConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match=r"unknown settings \['colour'\]"):
        D24FADConfig.from_dict(config.to_dict() | {"colour": 1})
