"""The records that the detector passes around: frozen, of a stated length, unpacked and selected from as documented."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model.features import Positions, Prediction, QueryFeatures, SupportBank, TeacherFeatures
from d24fad_lite.model.weighting import effective_number

COUNT = 5


def maps(seed: int) -> list[Tensor]:
    """Two levels of five images."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(COUNT, 3, side, side, generator=generator) for side in (4, 2)]


def records() -> dict[str, Any]:
    return {
        "teacher": TeacherFeatures(maps(0), maps(1)[0]),
        "queries": QueryFeatures(maps(0), maps(1)),
        "bank": SupportBank(maps(0), maps(1), maps(2)),
        "prediction": Prediction(torch.rand(COUNT), torch.rand(COUNT, 8, 8), torch.rand(COUNT, 2, 4)),
    }


def tensors(record: Any) -> list[Tensor]:
    """All tensors of a record."""
    values = [getattr(record, f.name) for f in dataclasses.fields(record)]
    return [t for value in values for t in (value if isinstance(value, list) else [value])]


@pytest.mark.parametrize("name", records())
@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([3, 0, 3], [3, 0, 3]),
        (np.array([4, 1]), [4, 1]),
        (torch.tensor([2]), [2]),
        (torch.tensor([True, False, False, True, False]), [0, 3]),
        (np.array([0, 0, 1, 0, 1], bool), [2, 4]),
        (slice(1, 4), [1, 2, 3]),
    ],
)
def test_select_takes_positions_masks_and_slices_of_every_record(
    name: str, positions: Positions, expected: list[int]
) -> None:
    record = records()[name]
    selected = record.select(positions)
    assert type(selected) is type(record)
    for part, whole in zip(tensors(selected), tensors(record), strict=True):
        assert torch.equal(part, whole[expected])


@pytest.mark.parametrize("name", records())
def test_records_are_frozen_and_equal_only_to_themselves(name: str) -> None:
    record = records()[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, None)
    assert record == record and record != records()[name] and hash(record) == hash(record)


@pytest.mark.parametrize("name", ["queries", "bank", "prediction"])
def test_the_length_of_a_record_is_the_number_of_its_images(name: str) -> None:
    assert len(records()[name]) == COUNT and len(records()[name].select([1, 2])) == 2


def test_features_of_five_queries_can_be_replaced_in_part() -> None:
    queries, other = QueryFeatures(maps(0), maps(1)), maps(3)
    changed = queries.replace(teacher=other)
    assert changed.teacher is other and changed.student is queries.student and len(changed) == COUNT
    seen = TeacherFeatures(maps(0), maps(1)[0])
    assert seen.replace(embedding=other[0]).levels is seen.levels


def test_teacher_features_and_predictions_unpack_in_their_documented_order() -> None:
    seen = TeacherFeatures(maps(0), maps(1)[0])
    levels, embedding = seen
    assert levels is seen.levels and embedding is seen.embedding
    prediction = Prediction(torch.rand(COUNT), torch.rand(COUNT, 8, 8), torch.rand(COUNT, 2, 4))
    score, anomaly_map, weights = prediction
    assert score is prediction.score and anomaly_map is prediction.anomaly_map and weights is prediction.weights


def test_a_mask_that_chooses_nothing_leaves_no_bank() -> None:
    bank = records()["bank"]
    for nothing in (torch.zeros(COUNT, dtype=torch.bool), slice(0, 0), [], np.array([], int)):
        with pytest.raises(ValueError, match="a bank needs at least one support"):
            bank.select(nothing)


def test_queries_selected_from_a_batch_are_predicted_as_they_are_in_it() -> None:
    model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=64)).eval()
    images = torch.rand(COUNT, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    bank, queries = model.encode_supports(images[:2]), model.encode_queries(images)
    whole, part = model.predict(queries, bank), model.predict(queries.select([4, 1]), bank)
    for found, expected in zip(part, whole.select([4, 1]), strict=True):
        torch.testing.assert_close(found, expected)


def test_effective_number_takes_weights_as_training_and_a_card_give_them() -> None:
    weights = torch.tensor([[0.5, 0.5], [1.0, 0.0]], requires_grad=True)  # NumPy alone refuses these, and a card's
    assert effective_number(weights).tolist() == [2.0, 1.0]
