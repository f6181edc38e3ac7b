"""The device of a training: the one that was asked for, or words why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate.state
import pytest
import torch
from accelerate import DistributedType
from accelerate.state import AcceleratorState
from small_run import CONFIG, SETTINGS, Weights, equal, trained

import d24fad_lite as d2
from d24fad_lite.lessons.detectors import DetectorRecipe, trained_detector
from d24fad_lite.training import fit as fit_module
from d24fad_lite.training.fit import new_accelerator

VARIABLE = "ACCELERATE_TORCH_DEVICE"


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if this computer had two cards; nothing can be computed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(accelerate.state, "check_cuda_p2p_ib_support", lambda: True)
    monkeypatch.delenv(VARIABLE, raising=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, "cuda"),
        ("auto", "cuda"),
        ("cuda", "cuda"),
        ("cuda:0", "cuda:0"),
        ("cuda:1", "cuda:1"),
        ("cpu", "cpu"),
    ],
)
def test_accelerate_gets_the_device_that_was_asked_for(two_cards: None, asked: str | None, expected: str) -> None:
    accelerator = new_accelerator("fp32", asked)
    assert str(accelerator.device) == expected and accelerator.num_processes == 1
    assert VARIABLE not in os.environ


def test_the_device_that_was_asked_for_wins_over_accelerates_variable(
    two_cards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "cuda:1")
    assert [str(new_accelerator("fp32", asked).device) for asked in (None, "cuda:0", "cpu")] == [
        "cuda:1",
        "cuda:0",
        "cpu",
    ]
    assert os.environ[VARIABLE] == "cuda:1"


@pytest.mark.parametrize("asked", ["gpu", "cuda:2", "cuda:x", "mps", ""])
def test_a_device_that_is_not_there_is_refused_in_words(two_cards: None, bench: d2.Benchmark, asked: str) -> None:
    with pytest.raises(ValueError, match=f"device '{asked}' is not there; this computer has cpu, cuda"):
        d2.fit(d2.D24FAD(CONFIG), bench, **(SETTINGS | {"device": asked}))


def test_a_numbered_device_trains_as_the_device(bench: d2.Benchmark, uninterrupted: Weights) -> None:
    assert equal(trained(bench, device="cpu:0"), uninterrupted)


@pytest.mark.parametrize("asked", ["cuda:1", "cpu"])
def test_under_a_launcher_a_card_cannot_be_chosen(two_cards: None, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    of_rank_0 = SimpleNamespace(device=torch.device("cuda:0"), distributed_type=DistributedType.MULTI_GPU)
    monkeypatch.setattr(fit_module, "_accelerator", lambda *_, **__: of_rank_0)
    with pytest.raises(ValueError, match=f"device='{asked}' cannot be chosen under a launcher, which gave this proc"):
        new_accelerator("fp32", asked)
    assert new_accelerator("fp32", "cuda") is of_rank_0


def test_a_lesson_trains_on_the_card_it_names(
    two_cards: None, bench: d2.Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def noted(*_: Any, device: str | None, **__: Any) -> d2.History:
        asked.append(device)
        raise KeyboardInterrupt  # nothing can be computed there

    monkeypatch.setattr("d24fad_lite.lessons.detectors.fit", noted)
    with pytest.raises(KeyboardInterrupt):
        trained_detector(CONFIG, bench, DetectorRecipe(), device="cuda:1", store=tmp_path)
    assert asked == ["cuda:1"]
